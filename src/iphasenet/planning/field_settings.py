"""Settings of the field test; this module needs no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings
from iphasenet.multislice.settings import Numerics

Kind = Literal["crystal", "wedge", "vacancy", "antisite", "edge", "carbon"]

GROUPS = ("known", "corpus", "new")
"""Groups of crystals, by how much the networks have seen of them."""

_COUNT = Quantity("", 1, 1000, whole=True)
_SHARE = Quantity("", 0, 0.5)
_ANGLE = Quantity("degrees", 0, 2)

_LARGE_CELLS = Numerics(
    0.126, 1.0, 24.0, thermal_noise=1e-3, thermal_passes=2, thermal_coarse_passes=0, thermal_period_angstrom=1.0
)

Names = tuple[Annotated[str, Setting(most=100)], ...]


@dataclass(frozen=True)
class ToldRoughly(Settings, section="field_test.told_roughly"):
    """Largest errors of what a microscope tells of a specimen; they are drawn uniformly."""

    tilt_deg: Annotated[float, Setting("Of the tilt about each axis.", Quantity("degrees", 0, 10))] = 0.2
    thickness_percent: Annotated[float, Setting("Of the thickness.", Quantity("%", 0, 50))] = 15.0


_USUAL = ToldRoughly()


@dataclass(frozen=True)
class FieldTest(Settings, section="field_test"):
    """A test on images that another model has made, of specimens with defects, edges and dirt."""

    known: Annotated[Names, Setting("Materials of `weights`, the network of a few crystals.", most=100, once=True)]
    corpus: Annotated[
        Names, Setting("Materials of the corpus that `any_weights` has not seen.", most=100, once=True)
    ] = ()
    new: Annotated[Names, Setting("Materials of no corpus.", most=100, once=True)] = ()
    weights: Annotated[str, Setting("Weights of a network of a few crystals, which is told everything.", path=True)] = (
        "resources/models/laptop.safetensors"
    )
    any_weights: Annotated[
        str, Setting("Weights of a network for any crystal, which need not be told anything.", path=True)
    ] = "resources/models/crystals.safetensors"
    specimens_of_known: Annotated[int, Setting("Specimens of each material in `known`.", _COUNT)] = 6
    specimens_of_others: Annotated[int, Setting("Specimens of each other material.", _COUNT)] = 2
    images: Annotated[int, Setting("Images of a specimen, each with its own optics, thickness and dose.", _COUNT)] = 4
    kinds: Annotated[
        tuple[Kind, ...],
        Setting(
            "What the specimens of a material are, one after the other: a perfect `crystal`; a `wedge`; a crystal with "
            "columns that lack some of their atoms (`vacancy`) or hold others (`antisite`); an `edge` to the vacuum; "
            "amorphous `carbon` on top. Each material begins at the next one.",
            least=1,
            most=100,
        ),
    ] = ("crystal", "wedge", "crystal", "vacancy", "edge", "carbon", "antisite")
    energies_kev: Annotated[
        tuple[float, ...],
        Setting(
            "Beam energies of perfect crystals, in turn like `kinds`; all others have that of `optics`.",
            quantities.ENERGY,
            least=1,
            most=100,
        ),
    ] = (200.0,)
    thickness_nm: Annotated[
        tuple[float, ...],
        Setting("Thicknesses of which those of crystals and wedges are drawn.", quantities.THICKNESS, least=1, most=20),
    ] = (10.0, 20.0, 40.0, 80.0)
    thin_nm: Annotated[
        tuple[float, ...],
        Setting(
            "Thicknesses of specimens with defects, edges or carbon, which need a large cell.",
            quantities.THICKNESS,
            least=1,
            most=20,
        ),
    ] = (10.0, 20.0)
    tilt_std_deg: Annotated[float, Setting("Standard deviation of the tilt about each axis.", _ANGLE)] = 0.3
    pixels: Annotated[
        tuple[int, ...],
        Setting(
            "Sides of the images of which each is drawn.", Quantity("pixels", 32, 2048, whole=True), least=1, most=20
        ),
    ] = (104, 128, 192, 300)
    doses: Annotated[tuple[float, ...], Setting("Doses of which each is drawn.", quantities.DOSE, least=1, most=20)] = (
        1e3,
        1e4,
        1e5,
        1e6,
    )
    displacement_factor: Annotated[
        float, Setting("Thermal displacements of the specimens, over those of the structure.", Quantity("", 0.1, 3))
    ] = 0.85
    cell_angstrom: Annotated[
        float, Setting("Smallest side of the cell of a specimen with defects, an edge or carbon.", quantities.WINDOW)
    ] = 12.0
    cell_multislice: Annotated[
        Numerics, Setting("Grid, slices, window and memory of the simulation of such specimens.")
    ] = _LARGE_CELLS
    carbon_nm: Annotated[float, Setting("Thickness of the carbon.", Quantity("nm", 0.5, 20))] = 2.0
    wedge_deg: Annotated[float, Setting("Largest angle of a wedge.", Quantity("degrees", 0, 20))] = 8.0
    dark_offset: Annotated[
        float,
        Setting("Standard deviation of the segments' zero, which nobody knows [fraction of the beam].", _SHARE),
    ] = 1e-3
    saturation: Annotated[
        float, Setting("Largest share of its signal that the brightest pixel of an image loses.", _SHARE)
    ] = 0.03
    told_roughly: Annotated[ToldRoughly, Setting("What a microscope tells of a specimen.")] = _USUAL
    fit_nm: Annotated[float, Setting("Thickest specimens that are fitted.", Quantity("nm", 0, 10_000))] = 40.0
    fit_images: Annotated[int, Setting("Images of each specimen that are fitted, the first ones.", _COUNT)] = 1000
    not_fitted: Annotated[
        Names, Setting("Materials that are not fitted, such as those that take hours.", most=100, once=True)
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [name for _, name in self.materials]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"field_test: found {twice[0]} in two groups; allowed: each material in one")
        if not names:
            raise InputError("field_test: found no material; allowed: at least one in known, corpus or new")

    @property
    def materials(self) -> list[tuple[str, str]]:
        """Group and name of each material."""
        return [(group, name) for group in GROUPS for name in getattr(self, group)]
