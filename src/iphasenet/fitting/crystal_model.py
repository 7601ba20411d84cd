"""Simulated Fourier coefficients of a known crystal's images, as a smooth function of all that is unknown."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.fitting.processes import calls
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.beam_pairs import BeamPairs, PairPlan, simulate_pairs
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_pass import ThermalPass
from iphasenet.simulation.tilts import crystal_lean

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]

_ANY_DEPTH = 100.0
"""Thickness of a pass from which others are made [Å]."""

_LARGEST_DEPTH_STEP = 17.0
"""Largest distance of thicknesses between which images are interpolated [Å]."""

SLICE = 1.0
"""Usual slice thickness [Å]."""

_PERIOD = 1.0
"""Displacements repeat with the cell: one cell has no more bias than several, and its lattice saves time [Å]."""

_REPLACED = ("defocus", "C10", "C12", "phi12", "astigmatism", "astigmatism_angle")
"""Aberrations that are fitted."""

_REMEMBERED = 24
"""Simulations that are kept: steps of the fit ask for the same ones several times."""


@dataclass(frozen=True)
class Parameters:
    """
    What is unknown of an image of a known crystal.

    Attributes
    ----------
    alpha, beta : float
        Tilt about the image's x, then y [degrees].
    depth : float
        Thickness [Å].
    defocus : float
        Defocus, -C10 [Å].
    offset_x, offset_y : float
        Point of the crystal under the image's centre, in the crystal's frame [Å].
    scale : float
        Intensity of the images over that of the simulation.
    source_variance : float
        Variance of the Gaussian source along one axis [Å²].
    astigmatism_x, astigmatism_y : float
        Twofold astigmatism C12 times the cosine and sine of twice its angle [Å].
    displacement : float
        Thermal displacements of all atoms over those of the structure.
    """

    alpha: float
    beta: float
    depth: float
    defocus: float = 0.0
    offset_x: float = 0.0
    offset_y: float = 0.0
    scale: float = 1.0
    source_variance: float = 0.09
    astigmatism_x: float = 0.0
    astigmatism_y: float = 0.0
    displacement: float = 1.0

    @property
    def tilt(self) -> tuple[float, float]:
        """Alpha and beta [degrees]."""
        return self.alpha, self.beta

    def tilt_from(self, other: "Parameters") -> float:
        """Angle between the tilts of two sets of parameters [degrees]."""
        return math.dist(self.tilt, other.tilt)


@dataclass(frozen=True)
class Effort:
    """
    How carefully the crystal is simulated.

    Attributes
    ----------
    sampling, slice_thickness : float
        Pixel and slice thickness of the multislice [Å].
    window : float
        Smallest side of the window in which the probe is periodic [Å]. A larger one has more waves, each through its
        own displacements of the atoms, so that it leaves less noise, too.
    """

    sampling: float
    slice_thickness: float
    window: float


@dataclass(frozen=True)
class Simulation:
    """
    What is simulated.

    Attributes
    ----------
    tilt : (float, float)
        alpha and beta [degrees].
    depths : tuple of float, rising
        Thicknesses [Å].
    effort : Effort
        Numerics.
    displacement : float
        Thermal displacements over those of the structure.
    seed : int
        Seed of the displacements.
    """

    tilt: tuple[float, float]
    depths: tuple[float, ...]
    effort: Effort
    displacement: float = 1.0
    seed: int = 1


@dataclass(frozen=True)
class CrystalModel:
    """
    A known crystal, its rotation about the beam and the microscope.

    Attributes
    ----------
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    microscope : Microscope
        Probe and detector; its defocus, astigmatism and source are replaced by the parameters'.
    rotation_deg : float
        Rotation gamma of the crystal [degrees].
    orders : (n, 2) integer array
        Orders of the Fourier coefficients that are computed.
    parametrization : str
        Scattering factors.
    device : str
        Torch device.
    """

    cell: Atoms
    microscope: Microscope
    rotation_deg: float
    orders: NDArray[np.int64]
    parametrization: str = "lobato"
    device: str = "cpu"
    _kept: "OrderedDict[Simulation, BeamPairs]" = field(
        default_factory=OrderedDict, init=False, compare=False, repr=False
    )
    _plans: dict[Effort, PairPlan] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the crystal without what was simulated and prepared."""
        return CrystalModel, (
            *(self.cell, self.microscope, self.rotation_deg, self.orders, self.parametrization, self.device),
        )

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Spatial frequencies (n, 2) in the crystal's frame [1/Å]."""
        a, b, _ = self.cell.cell.lengths()
        return self.orders / np.array([a, b])

    @property
    def depth_step(self) -> float:
        """
        Distance of thicknesses between which images are interpolated [Å].

        Whole cells where possible: images behind slabs that end with different atoms are no smooth function of the
        thickness. The nominal thickness of such a slab differs from that of the atoms in it by up to a layer.
        """
        height = float(self.cell.cell.lengths()[2])
        if height > _LARGEST_DEPTH_STEP:
            return height / math.ceil(height / _LARGEST_DEPTH_STEP)
        return height * math.floor(_LARGEST_DEPTH_STEP / height)

    @property
    def is_warm(self) -> bool:
        """Whether atoms move."""
        return bool(np.any(self.cell.arrays.get("displacements", 0.0)))

    def simulate(self, what: Simulation) -> BeamPairs:
        """Simulate the crystal; with one seed the result changes smoothly with tilt and thickness."""
        lean = crystal_lean(*what.tilt, self.rotation_deg)
        plan = self._plan(what.effort)
        return simulate_pairs(plan.simulation.at(lean, what.depths, what.displacement), [what.seed], plan=plan)

    def pairs(self, wanted: Sequence[Simulation], processes: int = 1) -> dict[Simulation, BeamPairs]:
        """Simulate the crystal several times, in processes, or remember the last simulations."""
        missing = [what for what in dict.fromkeys(wanted) if what not in self._kept]
        self._kept.update(zip(missing, calls(self.simulate, [(what,) for what in missing], processes), strict=True))
        found = {what: self._kept[what] for what in wanted}
        for what in found:
            self._kept.move_to_end(what)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
        return found

    def is_alike(self, first: Effort, second: Effort) -> bool:
        """Whether pixel and slices of two efforts come out the same for this crystal."""
        one, other = (self._plan(effort).simulation for effort in (first, second))
        return one.grid == other.grid and one.slicing.count == other.slicing.count

    def potential(self, sampling: float, displacement: float = 1.0) -> CrystalPotential:
        """Potential of the cell for a multislice pixel [Å]."""
        return sampled_potential(self.cell, sampling, sampling, self.parametrization).displaced(displacement)

    def _plan(self, effort: Effort) -> PairPlan:
        """Plan for a pass of an untilted crystal, whose preparations serve all tilts and thicknesses."""
        if effort not in self._plans:
            numerics = Numerics(effort.sampling, effort.slice_thickness, effort.window, thermal_period_angstrom=_PERIOD)
            potential = self.potential(effort.sampling)
            kind = ThermalPass if self.is_warm else MultislicePass
            rotations = (self.rotation_deg,)
            simulation = kind(potential, self.microscope, numerics, [_ANY_DEPTH], (0.0, 0.0), rotations, self.device)
            self._plans[effort] = PairPlan(simulation)
        return self._plans[effort]

    def images(self, pairs: BeamPairs, parameters: Parameters) -> ComplexArray:
        """
        Fourier coefficients of the images behind all thicknesses.

        Parameters
        ----------
        pairs : BeamPairs
            Simulation at the parameters' tilt.
        parameters : Parameters
            Lenses, source, offset and scale.

        Returns
        -------
        (exit, 4, n) complex array
            Coefficients at `orders`, r from the image's centre.
        """
        # The sectors of a turned detector are counted in another order.
        (quarters,) = self.microscope.detectors[0].quarters.T
        found = pairs.coefficients(self.optics(parameters))[:, quarters]
        offset = np.array([parameters.offset_x, parameters.offset_y])
        factors = parameters.scale * np.exp(2j * np.pi * (self.frequencies @ offset))
        return np.asarray(found[..., self._places(pairs)] * factors)

    def optics(self, parameters: Parameters) -> Microscope:
        """Microscope with the parameters' lenses and source."""
        x, y = parameters.astigmatism_x, parameters.astigmatism_y
        kept = {name: value for name, value in self.microscope.aberrations.items() if name not in _REPLACED}
        lenses = {"defocus": parameters.defocus, "C12": math.hypot(x, y), "phi12": math.degrees(math.atan2(y, x)) / 2}
        source = math.sqrt(max(0.0, parameters.source_variance))
        return replace(self.microscope, aberrations={**kept, **lenses}, source_size_angstrom=source)

    def _places(self, pairs: BeamPairs) -> NDArray[np.int64]:
        """Where the orders stand in a simulation."""
        known = {tuple(order): place for place, order in enumerate(pairs.table.orders.tolist())}
        return np.array([known[tuple(order)] for order in self.orders.tolist()])
