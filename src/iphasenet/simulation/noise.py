"""Imperfections that a microscope adds to an image: scan distortion, shot noise, gains and read-out noise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from iphasenet.base.devices import exact_float32, send
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.simulation.grid import Sample, generator, picometres
from iphasenet.simulation.image import Image

HALF_WIDTH = 8
"""Half-width of the interpolation kernel [pixels]."""

KAISER_BETA = 9.0
"""Kaiser parameter of the kernel: errors below 0.01 % of the contrast at 0.1 and 0.2 Å, for 20 mrad."""


def record(
    segments: Tensor,
    dose: float,
    sampling: float,
    acquisition: Acquisition,
    rng: np.random.Generator,
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> Tensor:
    """Draw one image (segment, y, x) that a microscope would record, like `record_images`."""
    return record_images(segments[None], [dose], sampling, acquisition, [rng], window)[0]


def record_images(
    segments: Tensor,
    doses: Sequence[float],
    sampling: float,
    acquisition: Acquisition,
    rngs: Sequence[np.random.Generator],
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> Tensor:
    """
    Draw images that a microscope would record, or a crop of each, on the device that holds the noise-free images.

    N = Poisson(I(R + d) D p²), returned as (g N + Normal(0, s)) / (D p²), with the displacement d of the scan line, the
    same in all segments, the gain g of the segment and the read-out noise s.

    Parameters
    ----------
    segments : (image, segment, y, x) float32 tensor
        Noise-free images I of the whole frame, fractions of the beam current.
    doses : sequence of float
        Dose D of each image [e/Å²].
    sampling : float
        Pixel size p [Å].
    acquisition : Acquisition
        Scan and detector.
    rngs : sequence of numpy.random.Generator
        Random numbers of each image; those of each pixel are drawn on the device, with a seed from here. Torch uses 32
        bits of the seed on a CPU and 64 on a GPU, so the numbers differ between them.
    window : (slice, slice)
        Rows and columns of the crop.

    Returns
    -------
    (image, segment, y, x) float32 tensor
        Noisy images, fractions of the beam current.
    """
    lines = segments.shape[2]
    drawn = [
        draw_imperfections(dose, lines, segments.shape[1], acquisition, rng)
        for dose, rng in zip(doses, rngs, strict=True)
    ]
    return recorded(segments, together(drawn), sampling, acquisition.readout_electrons, window)


class Imperfections(NamedTuple):
    """
    What is drawn for one image; of several images, every part has a further first axis.

    Attributes
    ----------
    dose : () array
        Dose [e/Å²].
    displacements : (line, 2) array
        Displacement (y, x) of each scan line [Å]; no lines for a perfect scan.
    gains : (segment,) array
        Gain of each segment.
    seed : () integer array
        Seed of the random numbers of each pixel.
    """

    dose: NDArray[np.float64]
    displacements: NDArray[np.float64]
    gains: NDArray[np.float64]
    seed: NDArray[np.int64]


def draw_imperfections(
    dose: float, lines: int, segments: int, acquisition: Acquisition, rng: np.random.Generator
) -> Imperfections:
    """
    Draw all that does not depend on the image.

    Parameters
    ----------
    dose : float
        Dose [e/Å²].
    lines, segments : int
        Numbers of scan lines and of segments.
    acquisition : Acquisition
        Scan and detector.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Imperfections
        Of one image.
    """
    displacements = acquisition.displacements(lines, rng) if acquisition.distorts else np.zeros((0, 2))
    gains = 1 + rng.normal(0.0, acquisition.gain_mismatch, segments)
    return Imperfections(np.array(dose), displacements, gains, np.array(rng.integers(2**63)))


def together(drawn: Sequence[Imperfections]) -> Imperfections:
    """Stack what was drawn for several images."""
    return Imperfections(*map(np.stack, zip(*drawn, strict=True)))


def recorded(
    segments: Tensor,
    drawn: Imperfections,
    sampling: float,
    readout_electrons: float,
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> Tensor:
    """
    Images with given imperfections, like `record_images`.

    Parameters
    ----------
    segments : (image, segment, y, x) float32 tensor
        Noise-free images of the whole frame, fractions of the beam current.
    drawn : Imperfections
        Of all images.
    sampling : float
        Pixel size [Å].
    readout_electrons : float
        Standard deviation of the read-out noise [electrons].
    window : (slice, slice)
        Rows and columns of the crop.

    Returns
    -------
    (image, segment, y, x) float32 tensor
        Noisy images, fractions of the beam current.
    """
    scanned = segments[..., *window]
    if drawn.displacements.shape[1]:
        scanned = displaced(segments, drawn.displacements / sampling, window)
    scales = np.stack([drawn.gains, np.broadcast_to(drawn.dose[:, None] * sampling**2, drawn.gains.shape)])
    gain, arrived = send(scales[..., None, None].astype(np.float32), segments.device)
    # A Fourier series may be slightly below zero where no electrons arrive. Random numbers are drawn in memory order,
    # which for an image must not depend on the images beside it.
    expected = (scanned.clamp_min(0) * arrived).contiguous()
    counts, readout = torch.empty_like(expected), torch.zeros_like(expected[:1])
    if readout_electrons:
        readout = torch.empty_like(expected)
    for number, seed in enumerate(drawn.seed):
        pixels = torch.Generator(segments.device).manual_seed(int(seed))
        # Drawn before the electrons: on a GPU a Poisson number may use more random numbers than torch reserves, and the
        # next draw would depend on that.
        if readout_electrons:
            readout[number].normal_(0.0, 1.0, generator=pixels)
        counts[number] = torch.poisson(expected[number], pixels)
    return (gain * counts + readout_electrons * readout) / arrived


def fixed_noise(
    segments: NDArray[np.float32], sample: Sample, noise: FixedNoise, image: Image, seed: int, material: str
) -> NDArray[np.float16]:
    """
    Noisy images of one validation or test sample.

    Parameters
    ----------
    segments : (4, y, x) array
        Noise-free images, fractions of the beam current.
    sample : Sample
        The sample; with seed, material and dose, it is the key of the random numbers.
    noise : FixedNoise
        Doses and imperfections.
    image : Image
        Pixels.
    seed, material
        Seed of the run, name of the material.

    Returns
    -------
    (dose, 4, y, x) float16 array
        Fractions of the beam current; half precision rounds by 0.05 % at most, below the noise of 1e6 e/Å² at 0.1 Å.
    """
    key = (sample.orientation.index, sample.rotation_index, picometres(sample.thickness_nm))
    streams = [generator(seed, material, "noise", *key, round(dose * 1000)) for dose in noise.doses]
    pairs = zip(noise.doses, streams, strict=True)
    clean, sampling = torch.from_numpy(segments), image.sampling_angstrom
    recorded = [record(clean, dose, sampling, noise.acquisition, rng) for dose, rng in pairs]
    return torch.stack(recorded).half().numpy()


def displaced(
    segments: Tensor, lines: NDArray[np.float64], window: tuple[slice, slice] = (slice(None), slice(None))
) -> Tensor:
    """
    Interpolate images at displaced scan lines; beyond the frame they are mirrored.

    Parameters
    ----------
    segments : (image, segment, y, x) float32 tensor
        Images of the whole frame.
    lines : (image, y, 2) array
        Displacement (y, x) of each line of each frame [pixels].
    window : (slice, slice)
        Rows and columns of the crop.

    Returns
    -------
    (image, segment, y, x) float32 tensor
        The crops as the displaced scan sees them.
    """
    reaches = HALF_WIDTH + np.ceil(np.abs(lines[:, window[0]]).max(axis=(1, 2))).astype(int)
    if segments.device.type != "cpu" or len(set(reaches)) == 1:
        return _displaced_within(reaches.max(), segments, lines, window)
    # Each image is summed as if it were alone, so that its bits do not depend on the others.
    found = torch.empty_like(segments[..., *window])
    for reach in set(reaches):
        alike = np.flatnonzero(reaches == reach)
        found[alike] = _displaced_within(reach, segments[alike], lines[alike], window)
    return found


def _displaced_within(reach: int, segments: Tensor, lines: NDArray[np.float64], window: tuple[slice, slice]) -> Tensor:
    """Interpolate with kernels of half-width `reach` [pixels]."""
    device = segments.device
    rows, columns = (np.arange(size)[part] for size, part in zip(segments.shape[2:], window, strict=True))
    steps = torch.arange(-reach, reach + 1, device=device)
    near = [
        send(_mirrored(np.arange(part[0] - reach, part[-1] + reach + 1), size), device)
        for part, size in zip((rows, columns), segments.shape[2:], strict=True)
    ]
    part = segments.index_select(2, near[0]).index_select(3, near[1]).transpose(0, 1)
    # All pixels of a scan line have the same displacement: whole lines are interpolated first, then each line's pixels.
    moved = send(np.ascontiguousarray(np.moveaxis(lines[:, rows], -1, 0)), device)
    by_line, by_pixel = _kernel(moved[..., None] - steps).float()
    mixing = torch.zeros(len(segments), len(rows), len(near[0]), device=device)
    line = torch.arange(len(rows), device=device)[:, None]
    mixing[:, line, line + steps + reach] = by_line
    by_pixel = by_pixel.flatten(0, 1)[:, None]
    with exact_float32(device):
        mixed = functional.conv1d((mixing @ part).flatten(1, 2), by_pixel, groups=len(by_pixel))
    return mixed.unflatten(1, (len(segments), len(rows))).transpose(0, 1)


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Map indices into a frame that continues periodically, mirrored about its outermost pixels."""
    period = max(1, 2 * (size - 1))
    return np.asarray(size - 1 - np.abs(np.mod(index, period) - (size - 1)))


def _kernel(distance: Tensor) -> Tensor:
    """Sinc under a Kaiser window; weights sum to 1 along the last axis."""
    window = torch.special.i0(KAISER_BETA * (1 - (distance / HALF_WIDTH) ** 2).clamp_min(0).sqrt())
    weights = torch.where(distance.abs() < HALF_WIDTH, torch.sinc(distance) * window, 0.0)
    return weights / weights.sum(dim=-1, keepdim=True)
