"""Spectra of four segments and the filters made from them."""

import math

import pytest
import torch
from torch import Tensor

from iphasenet.network.column_spectra import TILE, FourierFilters, Spectra

SAMPLING = 0.3


def spectra() -> Spectra:
    torch.manual_seed(1)
    return Spectra(3, 16, SAMPLING)


def periodic(size: int, seed: int = 2) -> Tensor:
    """Images of a crystal with 9.6 Å periods: any number of them."""
    waves = torch.rand((4, 3, 3), generator=torch.Generator().manual_seed(seed))
    place = 2 * math.pi * torch.arange(size) / 32
    orders = torch.arange(1, 4)[:, None]
    x, y = torch.cos(orders * place), torch.sin(orders * place)
    return torch.einsum("sab,ay,bx->syx", waves, y, x)[None]


@torch.inference_mode()
def test_a_larger_image_of_the_same_crystal_has_the_same_description() -> None:
    known = torch.randn(1, 3)
    small, large = (spectra()(periodic(size), known) for size in (TILE, 4 * TILE))
    other = spectra()(periodic(TILE, seed=3), known)
    assert (small - large).norm() < 0.02 * (small - other).norm()


@torch.inference_mode()
def test_every_pixel_of_an_image_is_described() -> None:
    """An image of 80 by 112 pixels has tiles at its end, too."""
    known, image = torch.randn(1, 3), torch.randn(1, 4, 80, 112)
    other = image.clone()
    other[:, :, 64:, 96:] *= 30
    assert (spectra()(image, known) - spectra()(other, known)).abs().max() > 1e-4


@torch.inference_mode()
def test_brightness_and_scale_of_an_image_do_not_act() -> None:
    known, image = torch.randn(1, 3), periodic(TILE)
    torch.testing.assert_close(spectra()(image, known), spectra()(7 * image + 3, known), rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_filters_of_a_large_image_are_those_of_a_tile() -> None:
    """A point far from every edge is blurred to the same picture, whatever the size of the image."""
    torch.manual_seed(4)
    filters = FourierFilters(3, 2, SAMPLING)
    known, defocus, angles = torch.randn(1, 3), torch.tensor([60.0]), torch.tensor([30.0])

    def around(height: int, width: int) -> Tensor:
        image = torch.zeros(1, 4, height, width)
        image[:, :, height // 2, width // 2] = torch.rand(4, generator=torch.Generator().manual_seed(5))
        found: Tensor = filters(image, known, defocus, angles)
        top, left = (height - TILE) // 2, (width - TILE) // 2
        return found[:, :, top : top + TILE, left : left + TILE]

    first, second = around(TILE, TILE), around(TILE + 32, TILE + 80)
    assert first.shape == (1, 2, TILE, TILE) and first.std() > 0
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


@torch.inference_mode()
def test_filters_are_those_of_a_real_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frequencies that lie in both halves of the plane have conjugate values: a GPU's FFT may not see to it."""
    torch.manual_seed(4)
    filters, seen = FourierFilters(3, 2, SAMPLING), []
    inverse = torch.fft.irfft2
    monkeypatch.setattr(torch.fft, "irfft2", lambda half, **options: (seen.append(half), inverse(half, **options))[1])
    filters(torch.randn(1, 4, 96, 96), torch.randn(1, 3), torch.tensor([60.0]), torch.tensor([30.0]))
    kernels = seen[0]
    assert kernels.shape[-2:] == (TILE, TILE // 2 + 1) and kernels.abs().max() > 0
    again = torch.fft.rfft2(inverse(kernels, s=(TILE, TILE)))
    torch.testing.assert_close(again, kernels, rtol=1e-4, atol=1e-6)


@torch.inference_mode()
def test_what_is_known_and_the_defocus_change_the_filters() -> None:
    torch.manual_seed(4)
    filters = FourierFilters(3, 2, SAMPLING)
    torch.nn.init.normal_(filters.modulation.weight)
    known, image = torch.randn(1, 3), torch.randn(1, 4, TILE, TILE)
    angles = torch.tensor([30.0])
    first = filters(image, known, torch.tensor([0.0]), angles)
    for other in (
        filters(image, known, torch.tensor([100.0]), angles),
        filters(image, known + 1, torch.tensor([0.0]), angles),
        filters(image, known, torch.tensor([100.0]), torch.tensor([40.0])),
    ):
        assert (other - first).norm() > 0.05 * first.norm()


@pytest.mark.parametrize("sampling", [0.2, 0.3, 0.6])
def test_frequencies_end_where_columns_hold_nothing(sampling: float) -> None:
    frequencies = spectra().frequencies if sampling == SAMPLING else Spectra(3, 16, sampling).frequencies
    reached = torch.hypot(frequencies.x, frequencies.y).max().item()
    assert reached < 1.2 and reached > 0.9 * min(1.2, 0.5 * math.sqrt(2) / sampling)
