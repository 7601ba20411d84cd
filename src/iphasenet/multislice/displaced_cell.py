"""Transmission functions of a cell whose atoms are displaced one by one.

A grid holds an atom's potential up to some spatial frequency. exp(i sigma V) of a core that is cut there is not the
cut exp(i sigma V): with pixels of 0.1 Å, images differ by 5 to 10 % of their contrast. The difference depends on what
a place holds alone, so it is computed once and added for each place. It is not linear in the potential: elements that
share a place, or half an atom, have one of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import j0
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.crystal.potential import SCATTERING_STEP, CrystalPotential
from iphasenet.crystal.slicing import Slicing
from iphasenet.multislice.lattice_grid import LateralAtoms, LatticeGrid
from iphasenet.multislice.transforms import transform_pair

FloatArray = NDArray[np.floating[Any]]
ComplexArray = NDArray[np.complexfloating[Any, Any]]
IntArray = NDArray[np.int64]

_CORE_STEP = 0.02
"""Step of spatial frequencies in the transforms of an atom's core [1/Å]."""

_RADII = (np.arange(1000) + 0.5) * 0.002
"""Distances from an atom at which its transmission is computed [Å]; farther away, the cut changes nothing."""


Contents = tuple[tuple[int, float], ...]
"""What a place holds: elements, as rows of the scattering factors, and their shares."""


@dataclass(frozen=True)
class AlikeAtoms:
    """
    Atoms of one element with one share, in places with the same contents.

    Attributes
    ----------
    atoms : (slice, atom) integer array
        Numbers of the independent atoms by slice.
    present : (slice, atom) array
        0 where a slice has fewer than others, else 1.
    factor : (y, x) tensor
        Form factor of each in the band, times its share and sigma: half of the orders.
    core : (y, x) complex tensor, optional
        Correction of all that is in their places; it is added once for a place.
    """

    atoms: IntArray
    present: FloatArray
    factor: Tensor
    core: Tensor | None


@dataclass(frozen=True)
class DisplacedCell:
    """
    A crystal's cell on a grid, ready for atoms that are displaced.

    Attributes
    ----------
    potential : CrystalPotential
        Atoms, at their mean positions.
    atoms : LateralAtoms
        Those of them that are displaced independently.
    slicing : Slicing
        Slices of the cell; displaced atoms stay in theirs.
    grid : LatticeGrid
        Grid of the lateral cell in which the displaced crystal repeats.
    interaction_constant : float
        sigma [rad / (V Å)].
    device : torch.device
        Device.
    dtype : torch.dtype
        float32 or float64.
    """

    potential: CrystalPotential
    atoms: LateralAtoms
    slicing: Slicing
    grid: LatticeGrid
    interaction_constant: float
    device: torch.device
    dtype: torch.dtype

    def transmissions(self, shifts: Tensor, numbers: Sequence[int]) -> Tensor:
        """
        Transmission functions exp(i sigma V), limited to the grid's band.

        Parameters
        ----------
        shifts : (block, repeat, independent atom, 2) float64 tensor
            Displacements in all cells along the beam [Å].
        numbers : sequence of int
            Numbers of slices, counted from the entrance surface.

        Returns
        -------
        (block, slice, y, x) complex tensor
            Transmission functions on the grid.
        """
        nx, ny = self.grid.gpts
        slices = np.array(numbers)
        repeat, place = send(slices // self.slicing.count, self.device), slices % self.slicing.count
        phase: Tensor | None = None
        cores: Tensor | None = None
        for alike in self._alike:
            index = send(alike.atoms[place], self.device)
            moved = (self._positions[index] + shifts[:, repeat[:, None], index]) @ self._reciprocal
            waves_x, waves_y = self._waves(moved[..., 0], 0), self._waves(moved[..., 1], 1)
            waves_x *= send(alike.present[place], self.device).to(self.dtype)[..., None]
            sums = waves_y.transpose(-1, -2) @ waves_x
            part = sums[..., : nx // 2 + 1] * alike.factor
            phase = part if phase is None else phase.add_(part)
            if alike.core is not None:
                core = sums * alike.core
                cores = core if cores is None else cores.add_(core)
        assert phase is not None and cores is not None  # a slice holds atoms
        values = torch.fft.irfft2(phase, s=(ny, nx), norm="forward")
        exact = torch.polar(torch.ones_like(values), values)
        to_values, to_coefficients = transform_pair(exact)
        coefficients = to_coefficients(exact)
        coefficients += cores
        coefficients *= self._scaled_band
        return to_values(coefficients)

    def _waves(self, shares: Tensor, axis: int) -> Tensor:
        """Phase factors exp(-2 pi i h x / a) of orders in the sequence of the FFT, along a new last axis."""
        turns = shares[..., None] * -self._orders[axis]
        angles = (2 * np.pi * (turns - turns.round())).to(self.dtype)
        return torch.polar(torch.ones_like(angles), angles)

    @cached_property
    def _positions(self) -> Tensor:
        return send(self.atoms.positions, self.device)

    @cached_property
    def _reciprocal(self) -> Tensor:
        """Matrix that takes positions to shares of the lattice vectors."""
        return send(np.ascontiguousarray(self.grid.reciprocal.T), self.device)

    @cached_property
    def _orders(self) -> tuple[Tensor, Tensor]:
        return tuple(send(np.fft.fftfreq(n, 1 / n), self.device) for n in self.grid.gpts)  # type: ignore[return-value]

    @cached_property
    def _alike(self) -> list[AlikeAtoms]:
        """All atoms, those that are alike together."""
        elements, owner = self.potential.elements[self.atoms.origin], self.slicing.owner[self.atoms.origin]
        groups: dict[tuple[int, float, Contents | None], list[int]] = {}
        for number, (element, share, contents) in enumerate(zip(elements, self._shares, self._contents, strict=True)):
            groups.setdefault((int(element), float(share), contents), []).append(number)
        found = []
        for (element, share, contents), numbers in sorted(groups.items(), key=lambda group: (group[0][:2], group[1])):
            chosen = np.array(numbers)
            rows = [chosen[owner[chosen] == n] for n in range(self.slicing.count)]
            atoms = np.zeros((len(rows), max(map(len, rows))), np.int64)
            present = np.zeros(atoms.shape)
            for slot, row in enumerate(rows):
                atoms[slot, : len(row)], present[slot, : len(row)] = row, 1
            core = None if contents is None else self._cores[contents]
            found.append(AlikeAtoms(atoms, present, share * self._factors[element], core))
        return found

    @cached_property
    def _shares(self) -> FloatArray:
        return np.asarray(self.potential.shares[self.atoms.origin])

    @cached_property
    def _contents(self) -> list[Contents | None]:
        """Contents of each atom's place, at the atom that scatters most there; None at others."""
        elements = self.potential.elements[self.atoms.origin]
        power = self._shares * self._scattering[elements, 0]
        # The strongest of each place comes first.
        order = np.lexsort([-power, self.atoms.places])
        starts = np.flatnonzero(np.diff(self.atoms.places[order], prepend=-1))
        found: list[Contents | None] = [None] * len(elements)
        for members in np.split(order, starts[1:]):
            found[members[0]] = tuple((int(elements[n]), float(self._shares[n])) for n in members)
        return found

    @cached_property
    def _frequencies(self) -> FloatArray:
        """Spatial frequencies of the grid in the sequence of the FFT, (y, x) [1/Å]."""
        kx, ky = self.grid.frequencies(torch.zeros(1, 2, dtype=torch.float64))
        return torch.hypot(kx, ky)[0].numpy()

    @cached_property
    def _band(self) -> Tensor:
        return self.grid.antialias(send(self._frequencies, self.device)).to(self.dtype)

    @cached_property
    def _scaled_band(self) -> Tensor:
        """The band over the number of points, which transforms there and back multiply with."""
        return self._band / (self.grid.gpts[0] * self.grid.gpts[1])

    @property
    def _scattering(self) -> FloatArray:
        if self.potential.scattering is None:
            raise ValueError("a potential without scattering factors cannot displace its atoms")
        return self.potential.scattering

    @cached_property
    def _factors(self) -> list[Tensor]:
        """Form factors in the band, times sigma: half of the orders, because potentials are real."""
        table = np.arange(self._scattering.shape[1]) * SCATTERING_STEP
        half, band = self._frequencies[:, : self.grid.gpts[0] // 2 + 1], self._band[:, : self.grid.gpts[0] // 2 + 1]
        scale = self.interaction_constant / self.grid.area
        return [
            send(scale * np.interp(half, table, row), self.device).to(self.dtype) * band for row in self._scattering
        ]

    @cached_property
    def _cores(self) -> dict[Contents, Tensor]:
        """What the cut of the potential takes from the transmission of a place inside the band, times the points."""
        complex_type = torch.complex128 if self.dtype == torch.float64 else torch.complex64
        alone = self.interaction_constant * self._scattering[:, :: round(_CORE_STEP / SCATTERING_STEP)]
        held = list(dict.fromkeys(contents for contents in self._contents if contents is not None))
        phases = np.array([sum(share * alone[element] for element, share in contents) for contents in held])
        frequencies = np.arange(phases.shape[1]) * _CORE_STEP
        band = self.grid.antialias(torch.from_numpy(frequencies)).numpy()
        inside = frequencies <= self.grid.band_limit + _CORE_STEP
        scale = self.grid.gpts[0] * self.grid.gpts[1] / self.grid.area
        corrections = core_corrections(frequencies, phases, band, inside)
        on_grid = (scale * np.interp(self._frequencies, frequencies[inside], lost) for lost in corrections)
        return {what: send(core, self.device).to(complex_type) for what, core in zip(held, on_grid, strict=True)}


def core_corrections(
    frequencies: FloatArray, phases: FloatArray, band: FloatArray, inside: NDArray[np.bool_]
) -> ComplexArray:
    """
    Fourier transforms of exp(i v) - exp(i v'), where v' is v without what lies beyond a band.

    Parameters
    ----------
    frequencies : (sample,) array
        Spatial frequencies from 0 [1/Å], equally spaced.
    phases : (place, sample) array
        Fourier transforms of the phase v of what a place holds [rad Å²].
    band : (sample,) array
        Share of each frequency that is kept, between 0 and 1.
    inside : (sample,) boolean array
        Frequencies at which the result is asked for.

    Returns
    -------
    (place, frequency) complex array
        Fourier transforms at the frequencies inside [Å²], without the part linear in v, which the band decides.
    """
    # Hankel transforms by the midpoint rule; the first sample, at frequency 0, has no weight.
    kernel = j0(2 * np.pi * np.outer(_RADII, frequencies))
    rings = 2 * np.pi * frequencies * frequencies[1]
    whole, cut = (phases * rings) @ kernel.T, (phases * band * rings) @ kernel.T
    lost = np.exp(1j * whole) - np.exp(1j * cut) - 1j * (whole - cut)
    areas = 2 * np.pi * _RADII * (_RADII[1] - _RADII[0])
    return np.asarray((lost * areas) @ kernel[:, inside])
