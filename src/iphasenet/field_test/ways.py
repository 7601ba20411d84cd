"""Ways from a recorded image to the potential: networks that are told more or less, a fit, and what others use."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.evaluation.baselines import shot_noise
from iphasenet.evaluation.idpc import idpc
from iphasenet.evaluation.obf import optimum_bright_field
from iphasenet.evaluation.phase_inversion import invert_phase, potential_transfer
from iphasenet.field_test.fits import FieldFit
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.planning.field_settings import FieldTest, ToldRoughly
from iphasenet.reconstruction.column_reconstruction import reconstruct_columns
from iphasenet.reconstruction.preparation import microscope_of
from iphasenet.reconstruction.reconstruct import Choices, Reconstruction, Trained, load_trained, reconstruct
from iphasenet.reconstruction.told_errors import ToldErrors

WAYS = ("told exactly", "told roughly", "nothing told", "fit", "fit + network")
"""Ways of this project; of `fit` and `fit + network`, the structure is known."""

BASELINES = ("sum", "sum to the 4th power", "iDPC", "OBF", "phase inversion")
"""What others make of the segments, without being told anything of the specimen."""

TOLD_BASELINES = tuple(f"{name}, told" for name in BASELINES)
"""The same, projected along the true tilt and thickness by the network's own layer."""


@dataclass(frozen=True)
class Result:
    """
    What one way makes of an image.

    Attributes
    ----------
    way : str
        Name of the way.
    sampling : float
        Pixel [Å].
    potential : (y, x) array, optional
        Projected potential [V Å], for a baseline on any scale.
    columns : (y, x) array, optional
        Columns at the entrance surface [V], for a baseline on any scale.
    columns_error : (y, x) array, optional
        Expected absolute error of the columns [V].
    blurred : bool
        Whether the columns have the resolution of the truth already.
    scaled : bool
        Whether numbers are volts.
    found : dict
        `thickness_nm`, `tilt_deg`, `defocus_nm`, with errors, `expected_pearson`, as far as the way says so.
    warnings : tuple of str
        What it warns of.
    refused : str
        Why there is no result.
    seconds : float
        Time it took.
    """

    way: str
    sampling: float = 1.0
    potential: NDArray[np.floating[Any]] | None = None
    columns: NDArray[np.floating[Any]] | None = None
    columns_error: NDArray[np.floating[Any]] | None = None
    blurred: bool = False
    scaled: bool = True
    found: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Ways:
    """
    Networks and what they are told.

    Attributes
    ----------
    few : Trained
        Network of a few crystals.
    any_crystal : Trained
        Network for any crystal.
    roughly : ToldRoughly
        How well a microscope knows a specimen.
    """

    few: Trained
    any_crystal: Trained
    roughly: ToldRoughly

    @classmethod
    def load(cls, test: FieldTest, device: str = "cpu") -> "Ways":
        """Load the networks of a test; InputError if either is of the other kind."""
        few, any_crystal = (load_trained(Path(path), device) for path in (test.weights, test.any_weights))
        _ = few.potential_network
        if not isinstance(any_crystal.network, ColumnNetwork):
            raise InputError(
                f"field_test.any_weights: found {test.any_weights}, a network of a few crystals; allowed: one for any "
                "crystal, such as resources/models/crystals.safetensors"
            )
        return cls(few, any_crystal, test.told_roughly)

    def results(
        self,
        image: SegmentedImage,
        is_known: bool,
        exactly: Mapping[str, Any],
        roughly: Mapping[str, Any],
        fitted: FieldFit,
    ) -> Iterator[Result]:
        """
        Try all ways.

        Parameters
        ----------
        image : SegmentedImage
            What a microscope writes down.
        is_known : bool
            Whether the network of a few crystals knows this one; else that for any crystal is told.
        exactly, roughly : mapping
            `thickness_nm`, `tilt_deg`, `rotation_deg`: the truth, and what a microscope tells.
        fitted : FieldFit
            Fit of the known structure.

        Yields
        ------
        Result
            Of each way of `WAYS`, `BASELINES` and `TOLD_BASELINES`.
        """
        trained = self.few if is_known else self.any_crystal
        known = {"told exactly": exactly, "told roughly": roughly, "nothing told": {}}
        yield from self.networks(image, is_known, known)
        if fitted.refused:
            yield from (Result(way, refused=fitted.refused) for way in ("fit", "fit + network"))
        else:
            yield _fitted(image, fitted)
            told: dict[str, Any] = {
                "thickness_nm": fitted.value("thickness_nm"),
                "tilt_deg": (fitted.value("alpha_deg"), fitted.value("beta_deg")),
                "rotation_deg": fitted.value("gamma_deg") % 360,
            }
            errors = ToldErrors(
                math.hypot(fitted.error("alpha_deg"), fitted.error("beta_deg")) / math.sqrt(2),
                min(50.0, 100 * fitted.error("thickness_nm") / told["thickness_nm"]),
            )
            yield _timed("fit + network", partial(_network, replace(image, **told), trained, errors))
        yield from _baselines(image, exactly)

    def networks(
        self, image: SegmentedImage, is_known: bool, told: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[Result]:
        """Try a network with each of several mappings of what it is told, by the names of the ways (`results`)."""
        # Errors are drawn uniformly.
        share = 1 / math.sqrt(3)
        usual = ToldErrors(share * self.roughly.tilt_deg, share * self.roughly.thickness_percent)
        for way, known in told.items():
            trained = self.few if is_known and known else self.any_crystal
            errors = ToldErrors(0.0, 0.0) if way == "told exactly" else usual
            yield _timed(way, partial(_network, replace(image, **known), trained, errors))


def _timed(way: str, make: Callable[[], Result]) -> Result:
    start = time.monotonic()
    try:
        made = make()
    except InputError as error:
        made = Result(way, refused=str(error))
    return replace(made, way=way, seconds=time.monotonic() - start)


def _network(image: SegmentedImage, trained: Trained, errors: ToldErrors) -> Result:
    """Reconstruct by one of the networks."""
    if isinstance(trained.network, ColumnNetwork):
        made = reconstruct_columns(image, trained)
        return Result(
            "",
            made.sampling,
            made.potential,
            made.columns,
            made.columns_error,
            blurred=True,
            found=_estimates(made),
            warnings=tuple(made.attributes["warnings"]),
        )
    made = reconstruct(image, trained, Choices(turns=1, errors=errors, with_columns=True))
    return Result("", made.sampling, made.potential, made.columns, warnings=tuple(made.attributes["warnings"]))


def _estimates(made: Reconstruction) -> dict[str, Any]:
    """List what the network for any crystal says of an image beside its columns."""
    estimates = made.attributes["estimates"]
    values: dict[str, Any] = {name: one["value"] for name, one in estimates.items()}
    values |= {f"{name}_error": one["error"] for name, one in estimates.items()}
    return values | {name: made.attributes[name] for name in ("expected_pearson", "strangeness")}


def _fitted(image: SegmentedImage, fitted: FieldFit) -> Result:
    """Exact potential of the fitted crystal."""
    found = {name: one["value"] for name, one in fitted.told["parameters"].items()}
    found |= {f"{name}_error": fitted.error(name) for name in fitted.told["parameters"]}
    assert image.sampling is not None
    seconds = float(fitted.told["seconds"])
    return Result("fit", image.sampling, fitted.potential, fitted.columns, found=found, seconds=seconds)


def _baselines(image: SegmentedImage, exactly: Mapping[str, Any]) -> Iterator[Result]:
    """Images of zero mean and any scale, raw and projected along the true tilt."""
    assert image.sampling is not None and image.dose is not None
    segments, sampling = image.fractions.astype(np.float64), image.sampling
    rows, columns = segments.shape[1:]
    transfer = potential_transfer(microscope_of(image), (2 * rows, 2 * columns), sampling)
    noise = shot_noise(np.maximum(segments, 0), image.dose, sampling)
    thickness, total = float(exactly["thickness_nm"]), segments.sum(axis=0)
    # A crystal's potential deviates from its mean, 15 V in the middle, by about as much.
    prior = (150.0 * thickness) ** 2
    made = {
        "sum": -total,
        # Sharper columns, as the network's layer projects them best.
        "sum to the 4th power": np.square(np.square(total.max() - total)),
        "iDPC": idpc(segments, sampling),
        "OBF": optimum_bright_field(segments, transfer),
        "phase inversion": invert_phase(segments, transfer, noise, prior),
    }
    shift = column_shift(torch.tensor([[thickness, *exactly["tilt_deg"], 0.0]]))
    for name, found in made.items():
        yield Result(name, sampling, found, found, blurred=True, scaled=False)
        projected = project_columns(torch.from_numpy(found.astype(np.float32))[None], shift, sampling)[0].numpy()
        yield Result(f"{name}, told", sampling, projected, scaled=False)
