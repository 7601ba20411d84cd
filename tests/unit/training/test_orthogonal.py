"""AdamW whose convolution kernels are updated by Muon."""

import copy

import pytest
import torch

from iphasenet.training.orthogonal import OrthogonalAdamW, orthogonalised


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_an_update_has_the_singular_vectors_of_the_gradient_and_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(1e-3 * matrix)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    across = u.T @ found @ v.T
    torch.testing.assert_close(across, torch.diag(across.diagonal()), rtol=0, atol=1e-3)
    assert not orthogonalised(torch.zeros(shape)).any()


def network() -> torch.nn.Sequential:
    torch.manual_seed(2)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 64, 4)
    )


def trained(optimizer: OrthogonalAdamW, fitted: torch.nn.Module, steps: int) -> list[float]:
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    y = x.flatten(1)[:, ::16].cumsum(dim=1)
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(fitted(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_kernels_move_by_their_own_learning_rate_and_all_weights_learn() -> None:
    fitted = network()
    before = copy.deepcopy(fitted.state_dict())
    losses = trained(OrthogonalAdamW(fitted.parameters(), 1e-3, 0.02, 0.0), fitted, 1)
    # Rows fewer than columns: eight singular values of about 1, times the learning rate.
    moved = fitted[0].weight - before["0.weight"]  # type: ignore[union-attr, operator]
    assert moved.norm().item() == pytest.approx(0.02 * 8**0.5, rel=0.25)
    # The first step of AdamW is its learning rate in each number.
    steps = (fitted.state_dict()["3.weight"] - before["3.weight"]).abs()
    assert steps.median().item() == pytest.approx(1e-3, rel=0.01)
    more = trained(OrthogonalAdamW(fitted.parameters(), 1e-3, 0.02, 0.0), fitted, 30)
    assert more[-1] < 0.5 * losses[0]


def test_a_training_goes_on_from_a_saved_state() -> None:
    whole = network()
    first = OrthogonalAdamW(whole.parameters(), 1e-3, 0.02, 1e-2)
    trained(first, whole, 3)
    resumed = network()
    resumed.load_state_dict(whole.state_dict())
    second = OrthogonalAdamW(resumed.parameters(), 1e-3, 0.02, 1e-2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert trained(second, resumed, 3) == trained(first, whole, 3)


def test_a_kernel_without_gradient_stays() -> None:
    fitted = network()
    fitted[0].weight.requires_grad_(False)  # type: ignore[union-attr, operator]
    before = fitted[0].weight.clone()  # type: ignore[operator]
    trained(OrthogonalAdamW(fitted.parameters(), 1e-3, 0.02, 1e-2), fitted, 2)
    assert torch.equal(fitted[0].weight, before)  # type: ignore[arg-type]
