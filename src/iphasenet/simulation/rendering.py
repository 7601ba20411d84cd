"""Evaluation of periodic series on the pixels of an image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.devices import exact_float32, send
from iphasenet.crystal.potential import ComplexArray, CrystalPotential, series_frequencies
from iphasenet.crystal.slicing import Slicing
from iphasenet.multislice.periodic_images import PeriodicImages
from iphasenet.simulation.grid import SPLITS, Sample
from iphasenet.simulation.image import Image
from iphasenet.simulation.tilts import lab_angles

_TOGETHER = 2**24
"""Largest number of products of a pixel row and a term in memory at once, 8 bytes each."""

_OCCURRING = 1e-6
"""Share of the largest term below which one does not occur: single precision has rounded it."""


@dataclass(frozen=True)
class Field:
    """
    An image and how the crystal lies under it.

    Attributes
    ----------
    image : Image
        Pixels.
    rotation_deg : float
        Rotation gamma of the crystal about the beam, from x to y [degrees].
    offset : (float, float)
        Point of the crystal (x, y), in its own frame, that lies under the image's centre [Å].
    """

    image: Image
    rotation_deg: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Series:
    """
    Real Fourier series on a device, limited to the frequencies that pixels of a given size can show at any rotation.

    Attributes
    ----------
    terms : (..., term) complex64 tensor
        Twice the coefficients of one half-plane, and the constant term once.
    gx, gy : (term,) float64 tensor
        Spatial frequencies [1/Å].
    """

    terms: Tensor
    gx: Tensor
    gy: Tensor

    @classmethod
    def visible(cls, coefficients: ComplexArray, lengths: tuple[float, ...], sampling: float) -> "Series":
        """
        Keep the terms that an image can show.

        Parameters
        ----------
        coefficients : (..., 2 my + 1, 2 mx + 1) complex array
            Centred coefficients of series that are real.
        lengths : (float, float)
            Periods along x and y [Å].
        sampling : float
            Pixel size [Å]; turned by 45°, a corner of its Nyquist square lies on an axis.

        Returns
        -------
        Series
            Series in the host's memory.
        """
        shape = coefficients.shape[-2:]
        gx, gy = (np.broadcast_to(g, shape).ravel() for g in series_frequencies(shape, lengths))
        # The constant term is the first of its half-plane.
        keep = (np.arange(gx.size) >= gx.size // 2) & (np.hypot(gx, gy) * sampling < math.sqrt(0.5) + 1e-9)
        terms = 2 * coefficients.reshape(*coefficients.shape[:-2], -1)[..., keep]
        terms[..., 0] /= 2
        arrays = np.ascontiguousarray(terms, np.complex64), gx[keep], gy[keep]
        return cls(*map(torch.from_numpy, arrays))

    def occurring(self) -> "Series":
        """Leave out terms that no series has, as in a centred lattice's rectangular cell: below 1e-6 of the largest."""
        largest = self.terms.abs().flatten(0, -2).amax(dim=0) if self.terms.ndim > 1 else self.terms.abs()
        keep = largest >= _OCCURRING * largest.max()
        keep[0] = True
        return Series(self.terms[..., keep], self.gx[keep], self.gy[keep])

    @property
    def nbytes(self) -> int:
        """Memory that the series takes [bytes]."""
        return sum(part.nbytes for part in (self.terms, self.gx, self.gy))

    def __getitem__(self, index: Any) -> "Series":
        """Choose among the series."""
        return Series(self.terms[index], self.gx, self.gy)

    def to(self, device: torch.device) -> "Series":
        """Copy it to a device, which goes on computing meanwhile."""
        return Series(*(send(part, device) for part in (self.terms, self.gx, self.gy)))

    def on_pixels(self, field: Field) -> Tensor:
        """
        Evaluate the series at the pixels of an image: two matrix products, without a wait of the host for a GPU.

        Parameters
        ----------
        field : Field
            Pixels, rotation and offset.

        Returns
        -------
        (..., y, x) float32 tensor
            Values at the pixel centres. Frequencies beyond the image's Nyquist square are left out, and those on its
            edge count half, so that nothing is aliased.
        """
        shown, (lab_x, lab_y, weight) = self, self._seen([field])
        if self.gx.device.type == "cpu":
            # This saves a third of the work. Not on a GPU: the host would have to wait for the number of visible terms.
            keep = weight[0].nonzero()[:, 0]
            shown = Series(*(part[..., keep] for part in (self.terms, self.gx, self.gy)))
            lab_x, lab_y, weight = (part[:, keep] for part in (lab_x, lab_y, weight))
        return shown[None]._sum([field], lab_x, lab_y, weight)[0]

    def on_fields(self, fields: Sequence[Field]) -> Tensor:
        """
        Evaluate each series at the pixels of its own image, like `on_pixels`.

        A GPU computes many at once, because its host needs the same time for one as for all. A CPU computes one after
        the other, each without the terms that its image does not show, within the cache.

        Parameters
        ----------
        fields : sequence of Field
            Fields with the same pixels, one for each entry of the series' first axis.

        Returns
        -------
        (field, ..., y, x) float32 tensor
            Values at the pixel centres.
        """
        if self.gx.device.type == "cpu":
            images = [self[number].on_pixels(field) for number, field in enumerate(fields)]
            return torch.stack(images) if len(images) > 1 else images[0][None]
        return self.together(fields)

    def together(self, fields: Sequence[Field]) -> Tensor:
        """Evaluate like `on_fields`, with all terms, by batched matrix products of as many series as memory allows."""
        most = max(1, _TOGETHER // (self.terms[0].numel() * fields[0].image.pixels))
        parts = [slice(start, start + most) for start in range(0, len(fields), most)]
        return torch.cat([self[part]._sum(fields[part], *self._seen(fields[part])) for part in parts])

    def _sum(self, fields: Sequence[Field], lab_x: Tensor, lab_y: Tensor, weight: Tensor) -> Tensor:
        """Sum the terms, given their frequencies and weights (`_seen`)."""
        device, image = self.gx.device, fields[0].image
        x, y = send(np.array([field.offset for field in fields]).T[..., None], device)
        # Pixels lie in pairs about the centre: their cosines are equal, their sines opposite.
        position = torch.arange(image.pixels, dtype=torch.float64, device=device) - (image.pixels - 1) / 2
        position, half = position * image.sampling_angstrom, image.pixels // 2
        along_y = _phase(position[:, None] * lab_y[:, None])
        along_x = _phase(lab_x[..., None] * position[half:])
        seen = torch.polar(weight, _phase(self.gx * x + self.gy * y))
        between = (1,) * (self.terms.ndim - 2)
        rows = (self.terms * seen.unflatten(0, (-1, *between)))[..., None, :] * torch.polar(
            torch.ones_like(along_y), along_y
        ).unflatten(0, (-1, *between))
        values = rows.flatten(1, -2)
        with exact_float32(device):
            even, odd = values.real @ along_x.cos(), values.imag @ along_x.sin()
        whole = torch.cat([(even + odd).flip(-1)[..., :half], even - odd], dim=-1)
        return whole.unflatten(1, rows.shape[1:-1])

    def _seen(self, fields: Sequence[Field]) -> tuple[Tensor, Tensor, Tensor]:
        """Frequencies (field, term) along the lab's axes [1/Å], and the weight that pixels give them."""
        turns = np.radians([field.rotation_deg for field in fields])[:, None]
        cos, sin = send(np.stack([np.cos(turns), np.sin(turns)]), self.gx.device)
        lab_x, lab_y = self.gx * cos - self.gy * sin, self.gx * sin + self.gy * cos
        sampling = fields[0].image.sampling_angstrom
        return lab_x, lab_y, _nyquist_weight(lab_x * sampling) * _nyquist_weight(lab_y * sampling)


class SeriesTable:
    """
    Series of several crystals on one device, of which any are evaluated together.

    Parameters
    ----------
    series : sequence of Series
        (..., channel, term) each, with the same number of channels.
    device : torch.device
        Where they are kept.
    """

    def __init__(self, series: Sequence[Series], device: torch.device) -> None:
        self.channels = int(series[0].terms.shape[-2])
        self.sizes = np.array([len(one.gx) for one in series])
        self.first_terms = _starts([one.terms.numel() for one in series])
        self.first_frequencies = _starts(self.sizes)
        self.terms = torch.cat([one.terms.flatten() for one in series]).to(device)
        self.gx, self.gy = (torch.cat([getattr(one, axis) for one in series]).to(device) for axis in ("gx", "gy"))

    def on_fields(self, crystals: NDArray[np.int64], rows: NDArray[np.int64], fields: Sequence[Field]) -> Tensor:
        """
        Evaluate one series of a crystal for each field.

        Parameters
        ----------
        crystals, rows : (field,) integer arrays
            Index of the crystal, and of its series among all, channels not counted.
        fields : sequence of Field
            Fields with the same pixels.

        Returns
        -------
        (field, channel, y, x) float32 tensor
            Values at the pixel centres.
        """
        # Those with as many terms together: shorter ones are filled up with zeros.
        order = np.argsort(self.sizes[crystals], kind="stable")
        images, start = [], 0
        while start < len(order):
            room = _TOGETHER // (self.channels * fields[0].image.pixels)
            # Sizes rise: the last of the part is the largest.
            fitting = self.sizes[crystals[order[start:]]] * np.arange(1, len(order) - start + 1) <= room
            count = max(1, int(fitting.argmin()) if not fitting.all() else len(fitting))
            part = order[start : start + count]
            chosen = [fields[number] for number in part]
            series = self._series(crystals[part], rows[part])
            images.append(series._sum(chosen, *series._seen(chosen)))
            start += count
        return torch.cat(images).index_select(0, send(np.argsort(order), self.gx.device))

    def _series(self, crystals: NDArray[np.int64], rows: NDArray[np.int64]) -> Series:
        """Terms (field, channel, term) and frequencies (field, term) of one series each."""
        sizes = self.sizes[crystals]
        starts = self.first_terms[crystals] + rows * self.channels * sizes
        where = np.stack([sizes, starts, self.first_frequencies[crystals]])[:, :, None]
        size, start, first = send(where, self.gx.device)
        term = torch.arange(int(sizes.max()), device=self.gx.device)
        there = term < size
        place = torch.where(there, term, 0)
        channel = torch.arange(self.channels, device=self.gx.device)[:, None]
        terms = self.terms[start[..., None] + channel * size[..., None] + place[:, None]]
        return Series(terms * there[:, None], self.gx[first + place], self.gy[first + place])


def _starts(sizes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)


def _nyquist_weight(cycles: Tensor) -> Tensor:
    """Weight of a frequency: 1 below half a cycle per pixel, 1/2 at it, 0 above."""
    distance = cycles.abs() - 0.5
    return ((distance < 1e-9).float() + (distance < -1e-9).float()) / 2


def _phase(cycles: Tensor) -> Tensor:
    """Phase in single precision [rad], after whole cycles were removed in double precision."""
    return (2 * math.pi * (cycles - cycles.round())).float()


def render(coefficients: ComplexArray, lengths: tuple[float, ...], field: Field) -> NDArray[np.float32]:
    """
    Evaluate real Fourier series at the pixels of an image (`Series.on_pixels`).

    Parameters
    ----------
    coefficients : (..., 2 my + 1, 2 mx + 1) complex array
        Centred coefficients of series that are real.
    lengths : (float, float)
        Periods along x and y [Å].
    field : Field
        Pixels, rotation and offset.

    Returns
    -------
    (..., y, x) float32 array
        Values at the pixel centres.
    """
    series = Series.visible(coefficients, lengths, field.image.sampling_angstrom)
    values: NDArray[np.float32] = series.on_pixels(field).numpy()
    return values


@dataclass(frozen=True)
class Rendered:
    """
    One sample's arrays.

    Attributes
    ----------
    segments : (4, y, x) float32 array
        Noise-free images, fractions of the beam current.
    potential : (y, x) float32 array
        Projected potential [V Å].
    metadata : dict
        One value for each coordinate array.
    """

    segments: NDArray[np.float32]
    potential: NDArray[np.float32]
    metadata: dict[str, Any]


def render_sample(
    sample: Sample,
    images: PeriodicImages,
    potential: CrystalPotential,
    slicing: Slicing,
    image: Image,
    optics: Mapping[str, float] = MappingProxyType({}),
) -> Rendered:
    """
    Render one sample's images and its projected potential on the same pixels.

    Parameters
    ----------
    sample : Sample
        What to render.
    images : PeriodicImages
        Series of the sample's tilt.
    potential : CrystalPotential
        Potential of the cell whose projection is the truth (`iphasenet.simulation.truth.truth_potential`).
    slicing : Slicing
        Slices of the cell in the multislice.
    image : Image
        Pixels.
    optics : mapping
        Optics that were drawn for the sample (`iphasenet.simulation.drawn_optics.PlannedOptics.recorded`).

    Returns
    -------
    Rendered
        Arrays and metadata.
    """
    depth = float(images.depths[sample.thickness_index])
    offset = (sample.offset[0] * potential.lengths[0], sample.offset[1] * potential.lengths[1])
    field = Field(image, sample.gamma, offset)
    slab = potential.projected(slicing, slicing.nearest(depth), sample.orientation.lean)
    return Rendered(
        segments=render(images.coefficients[sample.thickness_index, sample.rotation_index], images.lengths, field),
        potential=render(slab, potential.lengths[:2], field),
        metadata=sample_metadata(
            sample, depth, offset, float(images.noise[sample.thickness_index]) if len(images.noise) else None
        )
        | dict(optics),
    )


def sample_metadata(
    sample: Sample, depth: float, offset: tuple[float, float], thermal_noise: float | None = None
) -> dict[str, Any]:
    """
    Coordinates of a sample in the data set.

    Parameters
    ----------
    sample : Sample
        What was rendered.
    depth : float
        Thickness that was simulated [Å].
    offset : (float, float)
        Point of the crystal under the image's centre [Å].
    thermal_noise : float, optional
        Standard error that the mean over thermal motion has left, as a share of the images' contrast; None at rest.

    Returns
    -------
    dict
        One value for each coordinate array; values of an edge, a wedge or thermal motion only if there is one.
    """
    alpha, beta = lab_angles(sample)
    shape = sample.orientation.shape
    some: dict[str, float] = {}
    if shape.edge is not None:
        some |= {"edge_azimuth": shape.edge[0], "edge_distance": shape.edge[1]}
    if shape.wedge is not None:
        some |= {"wedge_azimuth": shape.wedge[0], "wedge_angle": shape.wedge[1]}
    if thermal_noise is not None:
        some["thermal_noise"] = thermal_noise
    return {
        "sample_id": sample.sample_id,
        "thickness_nm": sample.thickness_nm,
        "slab_thickness": depth,
        "alpha": alpha,
        "beta": beta,
        "gamma": sample.gamma,
        "tilt": sample.orientation.index,
        "split": SPLITS.index(sample.orientation.split),
        "offset_x": offset[0],
        "offset_y": offset[1],
        **some,
    }
