"""List of the samples of a data set: tilts, rotations, thicknesses, offsets and splits, all from seeds.

Every random number comes from a SeedSequence with the key (seed of the run, material, purpose, indices), so that a
sample does not depend on the rest of the run.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import THICKNESS, Quantity
from iphasenet.base.recorded_names import recorded_as
from iphasenet.base.settings import Setting, Settings
from iphasenet.crystal.slab_shape import INFINITE, Shape

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

# A stream's position is part of its key, so new streams are added at the end.
_STREAMS = (
    "tilt",
    "rotation",
    "offset",
    "split",
    "noise",
    "training",
    "order",
    "angles",
    "edge",
    "wedge",
    "alteration",
    "thermal",
    "optics",
    "field",
)


def random_key(seed: int, material: str, stream: str, *indices: int) -> tuple[int, ...]:
    """Key of a SeedSequence for the purpose that `generator` takes with the same arguments."""
    return (seed, zlib.crc32(material.encode()), _STREAMS.index(stream), *indices)


def generator(seed: int, material: str, stream: str, *indices: int) -> np.random.Generator:
    """
    Make the random generator for one purpose.

    Parameters
    ----------
    seed : int
        Seed of the run.
    material : str
        Name of the material.
    stream : {'tilt', 'rotation', 'offset', 'split', 'noise', 'training', 'order', 'angles', 'edge', 'wedge', \
'alteration', 'thermal', 'optics', 'field'}
        Purpose of the numbers.
    *indices : int
        Further parts of the key, such as the indices of tilt, rotation, thickness, dose or epoch.

    Returns
    -------
    numpy.random.Generator
        Generator whose numbers are independent of those of all other keys.
    """
    return np.random.default_rng(np.random.SeedSequence(random_key(seed, material, stream, *indices)))


_SHARE_OF_SPLIT = Quantity("", 0, 1, above=True, below=True)
_SHARE = Quantity("", 0, 1)


@dataclass(frozen=True)
class Grid(Settings, section="grid"):
    """Thickness and orientation grid of every material."""

    without_effect: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tilt_std_deg": {"orientation": "any"},
        "wedge_deg": {"wedge_share": 0},
    }

    thickness_nm: Annotated[
        tuple[float, ...],
        Setting(
            "Thicknesses in rising order. Each is rounded to whole slices; the data set holds the given and the "
            "rounded value.",
            THICKNESS,
            least=1,
            most=1000,
            once=True,
        ),
    ]
    tilts: Annotated[
        int,
        Setting(
            "Number of crystal tilts of each material, at least 3, because each tilt belongs to only one split.",
            Quantity("", 3, 10_000, whole=True),
        ),
    ]
    tilt_std_deg: Annotated[
        float,
        Setting(
            "Standard deviation of the tilt about each in-plane axis of the crystal.",
            Quantity("degrees", 0, 2),
        ),
    ]
    rotations: Annotated[
        int,
        Setting(
            "Number of in-plane rotations of each tilt, uniformly distributed from 0 to 360 degrees.",
            Quantity("", 1, 10_000, whole=True),
        ),
    ]
    validation_share: Annotated[
        float,
        Setting(
            "Share of the tilts in the validation split, which selects the best epoch; at least one tilt. If `tilts` "
            "grows, earlier tilts stay in their splits; if a share changes, they may not.",
            _SHARE_OF_SPLIT,
        ),
    ]
    test_share: Annotated[
        float,
        Setting(
            "Share of the tilts in the test split, which is used only for the report; at least one tilt.",
            _SHARE_OF_SPLIT,
        ),
    ]
    orientation: Annotated[
        Literal["tilt", "any"],
        Setting(
            "`tilt`: small tilts. `any`: alpha and beta, like gamma, are uniformly distributed from 0 to 360 degrees "
            "(simulated as slabs of atoms)."
        ),
    ] = "tilt"
    edge_share: Annotated[
        float,
        Setting(
            "Share of the tilts whose crystal ends within the field of view, at an edge of random place and azimuth, "
            "with vacuum beyond it (simulated as slabs of atoms).",
            _SHARE,
        ),
    ] = 0.0
    wedge_share: Annotated[
        float,
        Setting(
            "Share of the tilts whose entrance surface is inclined towards a random azimuth (simulated as slabs of "
            "atoms).",
            _SHARE,
        ),
    ] = 0.0
    wedge_deg: Annotated[
        float,
        Setting(
            "Inclination of the entrance surface for `wedge_share`. The nominal thickness is that at the image's "
            "centre.",
            Quantity("degrees", 0, 30),
        ),
    ] = 0.0
    splits: Annotated[
        tuple[Split, ...],
        Setting(
            "Splits that are simulated. All three are needed to train a network.",
            least=1,
            once=True,
            unordered=True,
        ),
    ] = SPLITS
    rendered_rotations: Annotated[
        int,
        Setting(
            "Number of further rotations of each tilt, simulated only for `training.source: rendered`; they give no "
            "samples.",
            Quantity("", 0, 10_000, whole=True),
        ),
    ] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        keys = [picometres(t) for t in self.thickness_nm]
        if keys != sorted(set(keys)) or keys[0] == 0:
            found = list(self.thickness_nm)
            raise InputError(f"grid.thickness_nm: found {found} nm; allowed: above 0, rising by 0.001 nm or more")
        if self.validation_share + self.test_share >= 1:
            raise InputError(
                f"grid: found validation_share {self.validation_share} and test_share {self.test_share}; allowed: "
                "together less than 1, so that training has a share too"
            )

    @property
    def all_periodic(self) -> bool:
        """Whether every crystal has a small cell that repeats in its images."""
        return self.orientation == "tilt" and not self.edge_share and not self.wedge_share

    @property
    def split_counts(self) -> dict[Split, int]:
        """Tilts in each split, whether it is simulated or not."""
        order = _split_order(self.tilts, self.validation_share, self.test_share)
        return {split: order.count(split) for split in SPLITS}


@dataclass(frozen=True)
class LeftOut(Settings, section="training.leave_out"):
    """Samples of the training and validation splits that training does not see, for a test on unseen samples."""

    materials: Annotated[
        tuple[Annotated[str, Setting(most=100)], ...],
        Setting("Names of materials.", most=1000, once=True, unordered=True, required=True),
    ] = ()
    thickness_nm: Annotated[
        tuple[float, ...],
        Setting("Nominal thicknesses of the grid.", THICKNESS, most=1000, once=True, unordered=True, required=True),
    ] = ()

    def mask(self, material: str, thickness_nm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """
        Find the samples of a material that are left out.

        Parameters
        ----------
        material : str
            Name of the material.
        thickness_nm : (sample,) array
            Nominal thicknesses [nm].

        Returns
        -------
        (sample,) bool array
            True where a sample is left out.
        """
        thin = np.isin([picometres(t) for t in thickness_nm], [picometres(t) for t in self.thickness_nm])
        return thin | (material in self.materials)


NOTHING = LeftOut()
"""No sample is left out of training."""


@dataclass(frozen=True)
class Orientation:
    """
    One tilt of a crystal and its in-plane rotations.

    Attributes
    ----------
    index : int
        Index of the tilt. All samples of one tilt of a material belong to the same split.
    lean : (float, float)
        Lateral shift of an atomic column per depth (x, y) in the crystal's frame.
    rotations_deg : tuple of float
        In-plane rotations gamma [degrees]: first those of samples, then those that only rendered crops use.
    split : {'train', 'validation', 'test'}
        Split to which the tilt belongs.
    shape : Shape
        Edge and inclined surface of the slab.
    tilt_deg : (float, float), optional
        alpha and beta of any size, about the lab's axes after the rotation by gamma, in place of `lean` [degrees].
    """

    index: int
    lean: tuple[float, float] = field(metadata=recorded_as("tilt"))
    rotations_deg: tuple[float, ...]
    split: Split
    shape: Shape = INFINITE
    tilt_deg: tuple[float, float] | None = field(default=None, metadata=recorded_as("angles"))

    @property
    def is_periodic(self) -> bool:
        """Whether the crystal's cell repeats in the image; if not, the atoms of a slab are simulated."""
        return self.tilt_deg is None and self.shape == INFINITE


@dataclass(frozen=True)
class Sample:
    """
    One image of the data set.

    Attributes
    ----------
    sample_id : str
        Name made of material, tilt, rotation and thickness; it does not depend on the rest of the run.
    orientation : Orientation
        Tilt of the crystal and its rotations.
    rotation_index, thickness_index : int
        Indices of the rotation in the orientation and of the thickness in the grid.
    thickness_nm : float
        Nominal thickness [nm].
    offset : (float, float)
        Point of the cell under the image's centre, as fractions of its periods.
    """

    sample_id: str
    orientation: Orientation
    rotation_index: int
    thickness_index: int
    thickness_nm: float
    offset: tuple[float, float]

    @property
    def gamma(self) -> float:
        """In-plane rotation of the crystal [degrees]."""
        return self.orientation.rotations_deg[self.rotation_index]


def picometres(thickness_nm: float) -> int:
    """Thickness in whole picometres, for keys of random numbers and for names [pm]."""
    return round(thickness_nm * 1000)


@lru_cache
def _split_order(tilts: int, validation_share: float, test_share: float) -> tuple[Split, ...]:
    """Assign tilts to splits in turn: one to each, then always to the split that is furthest behind its share."""
    shares = {"train": 1 - validation_share - test_share, "validation": validation_share, "test": test_share}
    counts = dict.fromkeys(SPLITS, 1)
    order = list(SPLITS)
    for tilt in range(len(SPLITS), tilts):
        # Rounded, so that rounding errors cannot decide between equal splits; of these the first is taken.
        behind = {split: round((tilt + 1) * shares[split] - counts[split], 9) for split in SPLITS}
        chosen = max(SPLITS, key=lambda split: behind[split])
        counts[chosen] += 1
        order.append(chosen)
    return tuple(order)


def split_of_tilts(seed: int, material: str, grid: Grid) -> tuple[Split, ...]:
    """
    Assign each tilt of a material to a split.

    Parameters
    ----------
    seed : int
        Seed of the run.
    material : str
        Name of the material.
    grid : Grid
        Number of tilts, and shares of the splits.

    Returns
    -------
    tuple of {'train', 'validation', 'test'}
        Split of each tilt. It depends only on the seed, the material, the tilt's index and the shares, so that it stays
        the same if tilts are added. The first three tilts go to one split each, in an order from the seed; each further
        tilt goes to the split that is furthest behind its share. If every share is at least one tilt, the size of each
        split differs from its share by less than one tilt.
    """
    order = _split_order(grid.tilts, grid.validation_share, grid.test_share)
    first = generator(seed, material, "split").permutation(len(SPLITS))
    return (*(SPLITS[number] for number in first), *order[len(SPLITS) :])


def orientations(seed: int, material: str, grid: Grid) -> list[Orientation]:
    """Tilts of a material that are simulated, in the order of their indices."""
    split = split_of_tilts(seed, material, grid)
    simulated = grid.rotations + grid.rendered_rotations
    result = []
    for index in (tilt for tilt in range(grid.tilts) if split[tilt] in grid.splits):
        angles = generator(seed, material, "tilt", index).normal(0.0, grid.tilt_std_deg, 2)
        rotations = generator(seed, material, "rotation", index).uniform(0.0, 360.0, simulated)
        lean = (math.tan(math.radians(angles[0])), math.tan(math.radians(angles[1])))
        any_tilt = None
        if grid.orientation == "any":
            lean, any_tilt = (0.0, 0.0), _pair(generator(seed, material, "angles", index).uniform(0.0, 360.0, 2))
        shape = _shape(seed, material, index, grid)
        result.append(Orientation(index, lean, tuple(float(r) for r in rotations), split[index], shape, any_tilt))
    return result


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _shape(seed: int, material: str, index: int, grid: Grid) -> Shape:
    """Draw whether a slab has an edge or a wedge, and which; each tilt is independent of the rest of the grid."""
    edge = wedge = None
    rng = generator(seed, material, "edge", index)
    if rng.random() < grid.edge_share:
        edge = (float(rng.uniform(0.0, 360.0)), float(rng.uniform(-0.5, 0.5)))
    rng = generator(seed, material, "wedge", index)
    if rng.random() < grid.wedge_share:
        wedge = (float(rng.uniform(0.0, 360.0)), grid.wedge_deg)
    return Shape(edge, wedge)


def samples(seed: int, material: str, grid: Grid) -> list[Sample]:
    """List the samples of a material, ordered by tilt, rotation and thickness."""
    result = []
    for orientation in orientations(seed, material, grid):
        for rotation in range(grid.rotations):
            for index, thickness in enumerate(grid.thickness_nm):
                key = picometres(thickness)
                # All thicknesses of a slab come from one simulation, at one place of the crystal.
                place = key if orientation.is_periodic else picometres(grid.thickness_nm[0])
                offset = generator(seed, material, "offset", orientation.index, rotation, place).random(2)
                name = f"{material}-tilt{orientation.index:04d}-rotation{rotation:02d}-{key / 1000:.10g}nm"
                result.append(
                    Sample(name, orientation, rotation, index, thickness, (float(offset[0]), float(offset[1])))
                )
    return result
