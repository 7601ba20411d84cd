"""Names, limits and sizes of a packed folder; needs only the standard library, as it is read before all checks."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository, or the packed folder."""

LIMIT = 60_000_000
"""Largest packed folder [bytes]."""

PIECE = 15_000_000
"""Largest file of weights that is returned [bytes]."""

RESULTS, TABLE, LOG = "results.json", "table.md", "log.txt"

WEIGHTS, COLUMN_WEIGHTS = "weights.safetensors", "crystals.safetensors"
"""Files of the trained weights, of known crystals and of any, which are returned in pieces."""

TRAINED = "trained"
"""Name of the trained network among the scores; shipped networks have the names of their files."""

GO = "go.json"
"""File that lets a step begin, and tells it when to end."""

PRESENT = (
    *("einops", "h5py", "lightning", "matplotlib", "numpy", "pandas", "pyarrow", "safetensors", "scikit-image"),
    *("scipy", "tensorboard", "torch", "torchmetrics", "tqdm", "xarray"),
)
"""Distributions that a GPU machine is assumed to have, with all that they depend on."""

CARRIED = ("iniconfig", "monai", "pluggy", "Pygments", "pytest", "threadpoolctl")
"""Distributions that are carried as wheels: pure Python, small compared with the images."""

MODULES = (
    *("einops", "iniconfig", "lightning", "matplotlib", "monai", "numpy", "pandas", "pluggy", "pygments", "pytest"),
    *("safetensors", "scipy", "skimage", "tensorboard", "threadpoolctl", "torch", "torchmetrics", "tqdm", "yaml"),
)
"""Modules of these distributions that the steps import."""


@dataclass(frozen=True)
class Sizes:
    """
    Amount of work that is measured.

    Attributes
    ----------
    copied : int
        Bytes of the copy that measures the memory's bandwidth.
    waves : tuple of int
        Numbers of plane waves that are propagated together, one after the other.
    slices : int
        Slices that the waves pass.
    crop_pixels : int
        Side of the crops whose throughput is measured, at the images' pixel.
    feature_sizes : tuple of int
        Widths of the measured networks; the first is the published one.
    batch_size : int
        Crops a step.
    warm_up, steps : int
        Untimed steps at the beginning, and timed steps.
    npz : int
        Files that the published loop reads.
    validation, test : int
        Samples of each crystal that judge a trained network.
    enough : int
        Crops that a network must be able to see in the time that is left to be worth its training.
    trained_pixels, trained_sampling, trained_batch : int, float, int
        Side [pixels] and pixel [Å] of the crops that a network is trained on, those of the shipped network's images,
        and crops a step.
    most_steps : int
        Largest number of steps of that training.
    curve : int
        Points of the validation curve.
    reconstructed : int
        Side of the reconstructed image [pixels].
    most_tilts : int
        Largest number of tilts of a corpus that are simulated.
    """

    copied: int
    waves: tuple[int, ...]
    slices: int
    crop_pixels: int
    feature_sizes: tuple[int, ...]
    batch_size: int
    warm_up: int
    steps: int
    npz: int
    validation: int
    test: int
    enough: int
    trained_pixels: int
    trained_sampling: float
    trained_batch: int
    most_steps: int
    curve: int
    reconstructed: int
    most_tilts: int


FULL = Sizes(
    copied=2**31,
    waves=(32, 128, 512, 2048, 8192),
    slices=200,
    crop_pixels=256,
    feature_sizes=(48, 24, 12),
    batch_size=16,
    warm_up=10,
    steps=50,
    npz=64,
    validation=14,
    test=28,
    enough=40_000,
    trained_pixels=128,
    trained_sampling=0.2,
    # Its host limits a GPU: 32 crops take the time of 128.
    trained_batch=128,
    most_steps=10**9,
    curve=12,
    reconstructed=2048,
    most_tilts=10**9,
)

TOY = Sizes(
    copied=2**24,
    waves=(4, 8),
    slices=4,
    crop_pixels=64,
    feature_sizes=(12,),
    batch_size=2,
    warm_up=1,
    steps=1,
    npz=4,
    validation=2,
    test=2,
    enough=8,
    trained_pixels=64,
    trained_sampling=0.2,
    trained_batch=2,
    most_steps=8,
    curve=2,
    reconstructed=128,
    most_tilts=8,
)
"""What a rehearsal on a CPU does in under three minutes."""
