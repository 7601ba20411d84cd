"""Which images a field test has: all numbers from seeds. torch is not needed, because the Snakefile runs without it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.microscope.optics import Microscope
from iphasenet.planning.field_settings import FieldTest, Kind
from iphasenet.simulation.drawn_optics import DrawnOptics
from iphasenet.simulation.grid import generator
from iphasenet.simulation.tilts import lab_tilt

SUPERCELLS = ("vacancy", "antisite", "edge", "carbon")
"""Kinds of specimens whose images do not repeat with the crystal's cell."""


@dataclass(frozen=True)
class FieldImage:
    """
    One image of a specimen.

    Attributes
    ----------
    name : str
        Name, such as GaN-0-2.
    number : int
        Number among those of its specimen.
    thickness_nm : float
        Nominal thickness; the simulated one is that of whole slices.
    rotation_deg : float
        Rotation gamma of the crystal about the beam [degrees].
    offset : (float, float)
        Point of the cell under the image's centre, as fractions of its periods.
    pixels : int
        Side of the image.
    dose : float
        Dose [e/Å²].
    microscope : Microscope
        Probe and detector.
    wedge : (float, float)
        Azimuth in the image along which the thickness grows, and angle of the wedge [degrees].
    told_error : (float, float, float)
        Errors of alpha and beta [degrees] and relative one of the thickness, of what a microscope tells.
    """

    name: str
    number: int
    thickness_nm: float
    rotation_deg: float
    offset: tuple[float, float]
    pixels: int
    dose: float
    microscope: Microscope
    wedge: tuple[float, float]
    told_error: tuple[float, float, float]


@dataclass(frozen=True)
class FieldSpecimen:
    """
    A crystal in one orientation, of which several images are recorded.

    Attributes
    ----------
    name : str
        Name, such as GaN-0.
    material : str
        Material of the configuration.
    group : {'known', 'corpus', 'new'}
        How much the networks have seen of it.
    kind : str
        What it is (`FieldTest.kinds`).
    lean : (float, float)
        Lateral shift of a column per depth (x, y) in the crystal's frame.
    images : tuple of FieldImage
        Images.
    seed : tuple of int
        Key of what is drawn in its simulation.
    """

    name: str
    material: str
    group: str
    kind: Kind
    lean: tuple[float, float]
    images: tuple[FieldImage, ...]
    seed: tuple[int, ...]

    @property
    def energy_kev(self) -> float:
        """Beam energy [keV]."""
        return self.images[0].microscope.energy_kev

    def tilt_deg(self, image: FieldImage) -> tuple[float, float]:
        """Tilt (alpha, beta) about the image's axes [degrees]."""
        return lab_tilt(self.lean, image.rotation_deg)


def field_specimens(config: Mapping[str, Any]) -> list[FieldSpecimen]:
    """
    List the specimens of a field test.

    Parameters
    ----------
    config : mapping
        Configuration with `field_test`.

    Returns
    -------
    list of FieldSpecimen
        Specimens, material by material. One does not depend on the others.
    """
    test = FieldTest(**config["field_test"])
    microscope = Microscope(**config["optics"])
    ranges = DrawnOptics(**config.get("drawn_optics", {}))
    found = []
    for place, (group, material) in enumerate(test.materials):
        count = test.specimens_of_known if group == "known" else test.specimens_of_others
        for number in range(count):
            kind = test.kinds[(place + number) % len(test.kinds)]
            # Defects are looked for by networks, which have one energy.
            energies = test.energies_kev if kind == "crystal" else (microscope.energy_kev,)
            energy = energies[(place + number) % len(energies)]
            planned = _Planned(config["seed"], material, number, test, replace(microscope, energy_kev=energy), ranges)
            found.append(planned.specimen(group, kind))
    return found


@dataclass(frozen=True)
class _Planned:
    """Draws one specimen."""

    seed: int
    material: str
    number: int
    test: FieldTest
    microscope: Microscope
    ranges: DrawnOptics

    def specimen(self, group: str, kind: Kind) -> FieldSpecimen:
        rng = self._rng(0)
        x, y = np.tan(np.radians(rng.normal(0.0, self.test.tilt_std_deg, 2))).tolist()
        nominal = self.test.thin_nm if kind in SUPERCELLS else self.test.thickness_nm
        thicknesses = _each_once(rng, nominal, self.test.images)
        images = tuple(self._image(index, thickness, kind) for index, thickness in enumerate(thicknesses))
        name = f"{self.material}-{self.number}"
        return FieldSpecimen(name, self.material, group, kind, (x, y), images, (self.seed, self.number))

    def _rng(self, *key: int) -> np.random.Generator:
        return generator(self.seed, self.material, "field", self.number, *key)

    def _image(self, index: int, thickness: float, kind: Kind) -> FieldImage:
        # All is drawn whatever the kind, so that no choice changes another number.
        rng, test = self._rng(1, index), self.test
        rotation, azimuth = (float(angle) for angle in rng.uniform(0.0, 360.0, 2))
        x, y = rng.random(2).tolist()
        angle = float(rng.uniform(0.25, 1.0)) * test.wedge_deg
        pixels = int(test.pixels[int(rng.integers(len(test.pixels)))])
        dose = test.doses[int(rng.integers(len(test.doses)))]
        alpha, beta, relative = rng.uniform(-1.0, 1.0, 3).tolist()
        told = test.told_roughly
        return FieldImage(
            name=f"{self.material}-{self.number}-{index}",
            number=index,
            thickness_nm=thickness,
            rotation_deg=rotation,
            offset=(x, y),
            pixels=pixels,
            dose=dose,
            microscope=self.ranges.draw(self.microscope, self._rng(2, index)),
            wedge=(azimuth, angle) if kind == "wedge" else (azimuth, 0.0),
            told_error=(alpha * told.tilt_deg, beta * told.tilt_deg, relative * told.thickness_percent / 100),
        )


def _each_once(rng: np.random.Generator, choices: Sequence[float], count: int) -> list[float]:
    """Draw numbers, each choice once before any comes again."""
    rounds = math.ceil(count / len(choices))
    return [float(value) for _ in range(rounds) for value in rng.permutation(choices)][:count]


def specimen_named(config: Mapping[str, Any], name: str) -> FieldSpecimen:
    """Find a specimen by its name; InputError for an unknown one."""
    for specimen in field_specimens(config):
        if specimen.name == name:
            return specimen
    raise InputError(f"field test: found no specimen {name!r}; allowed: one of the configuration's")
