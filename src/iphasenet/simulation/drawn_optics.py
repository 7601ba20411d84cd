"""Optics that differ from image to image: each rotation of a tilt has its own focus, lenses and detector."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Self

import numpy as np

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings
from iphasenet.microscope.aberrations import polar_coefficients
from iphasenet.microscope.optics import Microscope
from iphasenet.simulation.grid import Sample, generator

_Range = tuple[float, float]

_ASTIGMATISM = Quantity("Å", 0, quantities.ABERRATION.high)


@dataclass(frozen=True)
class DrawnOptics(Settings, section="drawn_optics"):
    """Ranges of which the optics of each tilt and rotation are drawn, uniformly; without a range, those of `optics`."""

    defocus_angstrom: Annotated[_Range | None, Setting("Defocus (-C10).", quantities.DEFOCUS)] = None
    cs_angstrom: Annotated[_Range | None, Setting("Spherical aberration C30.", quantities.ABERRATION)] = None
    astigmatism_angstrom: Annotated[
        _Range | None, Setting("Twofold astigmatism C12, along any direction.", _ASTIGMATISM)
    ] = None
    source_size_angstrom: Annotated[
        _Range | None, Setting("Standard deviation of the Gaussian source.", quantities.SOURCE_SIZE)
    ] = None
    semiangle_mrad: Annotated[_Range | None, Setting("Convergence semiangle.", quantities.SEMIANGLE)] = None
    detector_inner_mrad: Annotated[_Range | None, Setting("Inner collection angle.", quantities.COLLECTION_ANGLE)] = (
        None
    )
    detector_outer_mrad: Annotated[_Range | None, Setting("Outer collection angle.", quantities.COLLECTION_ANGLE)] = (
        None
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, limits in asdict(self).items():
            if limits is not None and limits[0] > limits[1]:
                raise InputError(f"drawn_optics.{name}: found {list(limits)}; allowed: the lower limit first")

    def draw(self, microscope: Microscope, rng: np.random.Generator) -> Microscope:
        """
        Draw the optics of one image.

        Parameters
        ----------
        microscope : Microscope
            Gives what has no range.
        rng : numpy.random.Generator
            Source of randomness; a range more or less does not change what others give.

        Returns
        -------
        Microscope
            The optics.
        """
        shares = dict(zip((field.name for field in fields(self)), rng.random(len(fields(self))), strict=True))
        azimuth = float(rng.uniform(-90.0, 90.0))
        drawn: dict[str, Any] = {
            name: float(limits[0] + shares[name] * (limits[1] - limits[0]))
            for name, limits in asdict(self).items()
            if limits is not None
        }
        aberrations = dict(microscope.aberrations)
        for name, symbols in _LENSES.items():
            if name in drawn:
                aberrations = {key: value for key, value in aberrations.items() if key not in symbols}
                aberrations[symbols[0]] = drawn.pop(name)
        if self.astigmatism_angstrom is not None:
            aberrations["astigmatism_angle"] = azimuth
        return replace(microscope, aberrations=aberrations, **drawn)

    def extremes(self, microscope: Microscope) -> Microscope:
        """
        Optics with the largest semiangle and the widest detector that may be drawn, which grids must hold.

        InputError if an inner angle may be drawn that is not below the outer one.
        """
        inner = self.detector_inner_mrad or (microscope.detector_inner_mrad,) * 2
        outer = self.detector_outer_mrad or (microscope.detector_outer_mrad,) * 2
        if inner[1] >= outer[0]:
            raise InputError(
                f"drawn_optics: found inner collection angles up to {inner[1]:g} mrad and outer ones from "
                f"{outer[0]:g} mrad; allowed: every inner one below every outer one"
            )
        semiangle = (self.semiangle_mrad or (0, microscope.semiangle_mrad))[1]
        return replace(microscope, semiangle_mrad=semiangle, detector_inner_mrad=inner[0], detector_outer_mrad=outer[1])


_LENSES = {
    "defocus_angstrom": ("defocus", "C10"),
    "cs_angstrom": ("Cs", "C30"),
    "astigmatism_angstrom": ("astigmatism", "C12", "astigmatism_angle", "phi12"),
}
"""Aberrations that a range replaces, by all their names."""


@dataclass(frozen=True)
class PlannedOptics:
    """
    Optics of a run: the same for all images, or drawn for each tilt and rotation.

    Attributes
    ----------
    microscope : Microscope
        Microscope of all images, or what has no range.
    ranges : DrawnOptics or None
        Ranges.
    seed : int
        Seed of the run.
    """

    microscope: Microscope
    ranges: DrawnOptics | None = None
    seed: int = 0

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> Self:
        """Read the optics of a configuration."""
        ranges = configuration.get("drawn_optics")
        return cls(
            Microscope(**configuration["optics"]),
            None if ranges is None else DrawnOptics(**ranges),
            configuration["seed"],
        )

    @classmethod
    def of_job(cls, optics: Mapping[str, Any], seed: int) -> Self:
        """Read the parameter of a job that `iphasenet.planning.configuration.planned_optics` wrote."""
        return cls.of({**(optics if "drawn_optics" in optics else {"optics": optics}), "seed": seed})

    @property
    def widest(self) -> Microscope:
        """Microscope with the largest semiangle and the widest detector of all images, which grids must hold."""
        return self.microscope if self.ranges is None else self.ranges.extremes(self.microscope)

    def one(self, material: str, tilt: int, rotation: int) -> Microscope:
        """Microscope of one rotation of a tilt; it does not depend on the rest of the run."""
        if self.ranges is None:
            return self.microscope
        return self.ranges.draw(self.microscope, generator(self.seed, material, "optics", tilt, rotation))

    def rotations(self, material: str, tilt: int, count: int) -> Microscope | list[Microscope]:
        """Microscopes of all rotations of a tilt, or the one of all images."""
        if self.ranges is None:
            return self.microscope
        return [self.one(material, tilt, rotation) for rotation in range(count)]

    def of_sample(self, material: str, sample: Sample) -> Microscope:
        """Microscope of a sample."""
        return self.one(material, sample.orientation.index, sample.rotation_index)

    def recorded(self, material: str, sample: Sample) -> dict[str, float]:
        """Drawn optics of a sample, by the names of the data set's coordinates; none if all images have the same."""
        if self.ranges is None:
            return {}
        microscope = self.of_sample(material, sample)
        lenses = polar_coefficients(microscope.aberrations)
        return {
            "defocus": microscope.defocus_angstrom,
            "cs": lenses.get("C30", 0.0),
            "astigmatism": lenses.get("C12", 0.0),
            "astigmatism_angle": lenses.get("phi12", 0.0),
            "source_size": microscope.source_size_angstrom,
            "semiangle": microscope.semiangle_mrad,
            "detector_inner": microscope.detector_inner_mrad,
            "detector_outer": microscope.detector_outer_mrad,
        }
