"""What a GPU would show, shown without one: no step mixes its tensors with the host's, and none waits for the GPU.

Mixtures show on 'meta', torch's device of shapes alone; waiting, by the operations that a CPU is asked for. A GPU,
where there is one, is asked too.
"""

import traceback
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from iphasenet.base.devices import exact_float32
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import probe_blocks
from iphasenet.multislice.detection import Detection
from iphasenet.multislice.propagation import CellGrid
from iphasenet.multislice.scattering_matrix import Crystal, columns
from iphasenet.network.column_projection import project_columns
from iphasenet.network.losses import contrast, training_loss
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.network.symmetry import OPERATIONS, transformed
from iphasenet.simulation import rendering
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import displaced
from iphasenet.simulation.rendering import Field, Series
from tests.unit.simulation.test_noise import needs_gpu

LOSS = {"l1": 1.0, "l2": 0.5, "gradient_l1": 0.1, "spectral_l1": 0.1, "spread": 0.1}


_ATEN = torch.ops.aten
_ANSWERS = (
    _ATEN._local_scalar_dense.default,
    _ATEN._linalg_check_errors.default,
    _ATEN.nonzero.default,
    _ATEN.masked_select.default,
)
"""What a GPU must have computed before the host goes on."""


class NoWaiting(TorchDispatchMode):
    """Refuses operations for whose answer, or for whose numbers from the host, a GPU would be waited for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in _ANSWERS
        if func is _ATEN.lift_fresh.default:
            # MONAI fills such numbers in on the device.
            packages = [frame.filename for frame in traceback.extract_stack() if "torch/" not in frame.filename]
            assert "monai" in packages[-2], packages[-2]
        return func(*args, **(kwargs or {}))


class NoWaitingOnMeta(TorchDispatchMode):
    """The same where 'meta' stands for the GPU: the host's tensors go there one way, and it goes on meanwhile."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in _ANSWERS
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        found = {one.device.type for one in tensors if one.dim()}
        if found == {"cpu"} and torch.device(kwargs.get("device") or "cpu").type == "meta":
            assert kwargs.get("non_blocking"), func
        assert len(found) < 2, func
        return func(*args, **kwargs)


def random(*shape: int) -> Tensor:
    return torch.rand(shape, device="meta")


@pytest.mark.parametrize(
    "settings",
    [
        {"conditioning": "film", "inputs": "fraction", "uncertainty": True},
        {"conditioning": "maps", "norm": "group", "window_size": 7},
        {"conditioning": "maps", "angles": "sines", "output": "projected"},
    ],
)
def test_network_and_loss(settings: dict[str, Any]) -> None:
    network = PotentialNetwork(ModelSettings(12, **settings)).to("meta")
    segments, metadata, target = random(2, 4, 64, 64), random(2, 4), random(2, 64, 64)
    prediction, spread = network(segments, metadata)
    training_loss(prediction, spread, target, contrast(target), LOSS).backward()
    assert {parameter.grad.device.type for parameter in network.parameters() if parameter.grad is not None} == {"meta"}
    assert network.projected_potential(segments, metadata, turns=4)[0].shape == (2, 64, 64)


def test_projection_of_columns() -> None:
    columns = random(2, 64, 64).requires_grad_()
    project_columns(columns, random(2, 2), 0.2).sum().backward()
    assert columns.grad is not None
    assert columns.grad.device.type == "meta"


def test_scan_distortion() -> None:
    window = (slice(3, 35), slice(10, 42))
    with NoWaitingOnMeta():
        found = displaced(random(3, 4, 64, 64), np.random.default_rng(0).random((3, 64, 2)), window)
    assert (found.device.type, found.shape) == ("meta", (3, 4, 32, 32))


def waves(orders: int = 60, lengths: tuple[float, float] = (3.2, 5.5)) -> tuple[np.ndarray, tuple[float, float]]:
    """Two real series with frequencies within and beyond an image's, some on its Nyquist frequency."""
    rng = np.random.default_rng(5)
    half = rng.normal(size=(2, 2 * orders + 1, 2 * orders + 1, 2)) @ [1, 1j]
    series = half + half[:, ::-1, ::-1].conj()
    series[:, orders, orders] = 400
    return series, lengths


def test_rendering_waits_for_nothing() -> None:
    """Neither on the device that holds the series, nor where they are sent with each image."""
    meta = torch.device("meta")
    held = Series.visible(*waves(), 0.1).to(meta)
    with NoWaitingOnMeta():
        for series in (held, Series.visible(*waves(), 0.1)[0].to(meta)):
            field = Field(Image(48, 0.1), 33.0, (1.2, 0.7))
            seen = series.on_pixels(field)
            assert (seen.device.type, seen.shape) == ("meta", (*series.terms.shape[:-1], 48, 48))
            many = Series(series.terms.expand(3, *series.terms.shape), series.gx, series.gy).on_fields([field] * 3)
            assert (many.device.type, many.shape) == ("meta", (3, *series.terms.shape[:-1], 48, 48))


@pytest.mark.parametrize("memory", [0.0, 1e9])
@pytest.mark.parametrize("waves", [7, 1000])
def test_simulation_waits_for_nothing(memory: float, waves: int) -> None:
    """Neither by Fourier transforms, some or all waves at a time, nor by transfer matrices."""
    lengths, translations, microscope = (4.0, 4.0), [(1, 1, 2)], Microscope(200, 20, 10, 50, focal_spread_angstrom=30)
    grid = CellGrid(lengths, (30, 30))
    blocks = probe_blocks(lengths, (2, 2), microscope, translations)
    transmission = torch.zeros(2, 30, 30, dtype=torch.complex64, device="meta")
    crystal = Crystal(grid, transmission, (2.0, 2.1), microscope.wavelength, (0.001, 0.0), translations)
    with NoWaitingOnMeta():
        for block, orders, matrix in columns(blocks, crystal, (30, 61), 2.2, waves, memory):
            assert matrix.shape == (2, len(block.orders), len(orders))
            seen = Detection(microscope, lengths, (0.1, 0.1), (0.0, 20.0), (14, 14)).intensity(matrix, block, orders)
            assert (seen.device.type, seen.shape) == ("meta", (2, 2, 4, 14, 14))


@pytest.mark.parametrize("asked", ["highest", "high"])
def test_float32_is_no_tf32_where_it_must_not_be(asked: str) -> None:
    """Asked for by a user, or by default in convolutions; what was set before is set again."""
    torch.set_float32_matmul_precision(asked)
    operations: Any = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [operation.fp32_precision for operation in operations]
    assert "tf32" in before
    with pytest.raises(ZeroDivisionError), exact_float32(torch.device("cuda")):
        assert [operation.fp32_precision for operation in operations] == ["ieee", "ieee"]
        raise ZeroDivisionError
    assert [operation.fp32_precision for operation in operations] == before
    assert torch.get_float32_matmul_precision() == asked
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("operation", range(OPERATIONS))
def test_symmetry_operations(operation: int) -> None:
    """Metadata stay in the host's memory, where few numbers are turned faster."""
    segments, truth, metadata = transformed(random(4, 64, 64), random(64, 64), torch.rand(4), operation)
    assert (segments.device.type, truth.device.type, metadata.device.type) == ("meta", "meta", "cpu")


@pytest.mark.parametrize("projection", ["columns", "direct"])
def test_a_step_does_not_wait(projection: Any) -> None:
    settings = ModelSettings(12, inputs="fraction", projection=projection, uncertainty=True)
    network, segments, target = PotentialNetwork(settings), torch.rand(2, 4, 64, 64), torch.rand(2, 64, 64)
    metadata = torch.tensor([[20.0, 0.3, 0.1, 40.0], [150.0, -0.2, 0.2, 300.0]])
    with NoWaiting():
        prediction, spread = network(segments, metadata)
        training_loss(prediction, spread, target, contrast(target), LOSS).backward()
    with pytest.raises(AssertionError), NoWaiting():
        float(prediction.detach().mean())
    with pytest.raises(AssertionError), NoWaiting():
        metadata.new_tensor([1.0, 2.0])


@needs_gpu
def test_a_gpu_is_not_waited_for() -> None:
    settings = ModelSettings(12, inputs="fraction", projection="columns", uncertainty=True)
    network = PotentialNetwork(settings).to("cuda")
    segments, target = torch.rand(2, 4, 64, 64, device="cuda"), torch.rand(2, 64, 64, device="cuda")
    metadata = torch.tensor([[20.0, 0.3, 0.1, 40.0], [150.0, -0.2, 0.2, 300.0]], device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.autocast("cuda", torch.bfloat16):
            prediction, spread = network(segments, metadata)
        loss = training_loss(prediction, spread, target, contrast(target), LOSS)
        loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()


@needs_gpu
def test_a_gpu_distorts_as_a_cpu_does() -> None:
    """Sums of 17 numbers of order 1 in float32, in any order."""
    image, lines = torch.rand(2, 4, 64, 64), np.random.default_rng(0).random((2, 64, 2))
    torch.testing.assert_close(displaced(image.cuda(), lines).cpu(), displaced(image, lines), rtol=0, atol=1e-5)


@pytest.mark.parametrize("together", [2**24, 1])
def test_many_fields_at_once_are_as_one_by_one(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of all terms, the unseen ones times zero, in float32; as many at once as memory is allowed."""
    monkeypatch.setattr(rendering, "_TOGETHER", together)
    fields = [Field(Image(size, 0.1), turn, (1.2, turn / 50)) for size in (32, 33) for turn in (0.0, 33.0, 200.0)]
    for some in (fields[:3], fields[3:]):
        series = Series.visible(np.stack([k * waves()[0] for k in (1, 2, 3)]), waves()[1], 0.1)
        expected = torch.stack([series[number].on_pixels(field) for number, field in enumerate(some)])
        torch.testing.assert_close(series.together(some), expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


@needs_gpu
def test_a_gpu_renders_as_a_cpu_does() -> None:
    series, field = Series.visible(*waves(), 0.1), Field(Image(64, 0.1), 33.0, (1.2, 0.7))
    held, expected = series[None].to(torch.device("cuda")), series.on_pixels(field)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = held.on_fields([field])[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=2e-6 * float(expected.abs().max()))
