"""Transforms that may work in place."""

import pytest
import torch

from iphasenet.multislice.transforms import transform_pair


@pytest.mark.parametrize("shape", [(3, 16, 32), (1, 2, 8, 8), (2, 12, 20)])
def test_both_transforms_are_those_of_torch(shape: tuple[int, ...]) -> None:
    """Powers of two, which FFTW transforms, and other sides."""
    waves = torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    expected, points = waves.clone(), shape[-1] * shape[-2]
    to_values, to_coefficients = transform_pair(waves)
    values = to_values(waves)
    torch.testing.assert_close(values, torch.fft.ifft2(expected, norm="forward"))
    torch.testing.assert_close(to_coefficients(values) / points, expected)


def test_a_part_of_a_larger_tensor_leaves_the_rest_alone() -> None:
    """Parts that are carried one after the other share one tensor."""
    waves = torch.ones(1, 5, 8, 8, dtype=torch.complex64)
    first, second = waves.split(3, dim=1)
    transform_pair(first)[1](first)
    assert torch.equal(second, torch.ones_like(second))


def test_waves_elsewhere_are_not_taken_for_the_transformed_ones() -> None:
    """FFTW's plan would transform its own memory and leave another tensor as it is."""
    waves = torch.zeros(1, 8, 8, dtype=torch.complex64)
    with pytest.raises(ValueError, match="memory"):
        transform_pair(waves)[0](waves.clone())
