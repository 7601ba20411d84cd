"""Reconstruction of the potential from a user's own images."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet import __version__
from iphasenet.base.errors import InputError
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_settings import holds_columns
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.weights import load_column_weights, load_weights
from iphasenet.reconstruction import told_errors
from iphasenet.reconstruction.preparation import UNCALIBRATED, Prepared, idpc_potential, prepare, range_warnings
from iphasenet.reconstruction.tiled_prediction import (
    DEFAULT,
    Progress,
    Tiling,
    mean_columns,
    predict_large,
    project_potential,
)
from iphasenet.reconstruction.told_errors import ToldErrors, widened

SHIPPED = Path("resources") / "models" / "laptop.safetensors"
"""Weights in the repository."""

FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class Reconstruction:
    """
    Result of a reconstruction from the images of four segments.

    Attributes
    ----------
    potential : (y, x) float32 array
        Projected potential [V Å].
    mean_potential : (y, x) float32 array
        Projected potential over the thickness [V].
    spread : (y, x) float32 array, or None
        Expected absolute error of the projected potential, with that by tilt and thickness (scale of a Laplace
        distribution) [V Å]; None if the network predicts none.
    idpc : (y, x) float32 array
        iDPC image of the same segments (`preparation.idpc_potential`) [V Å].
    sampling : float
        Pixel size [Å].
    thickness_nm : float
        Thickness that was assumed [nm].
    tilt_deg : (float, float)
        alpha, beta that were assumed, in the frame of these images [degrees].
    rotation_deg : float
        gamma that was assumed, in the same frame [degrees].
    origin : (float, float)
        Centre of the first pixel in the input's axes: x, y [Å].
    columns : (y, x) float32 array, or None
        Mean potential of the untilted columns, at their places at the entrance surface [V], which does not depend on
        the given tilt; None if not asked for.
    columns_error : (y, x) float32 array, or None
        Expected absolute error of the columns [V], from the network for any crystal.
    attributes : dict
        How it was made: weights and their checksum, version, settings, warnings.
    """

    potential: FloatImage
    mean_potential: FloatImage
    spread: FloatImage | None
    idpc: FloatImage
    sampling: float
    thickness_nm: float
    tilt_deg: tuple[float, float]
    rotation_deg: float
    attributes: dict[str, Any] = field(default_factory=dict)
    origin: tuple[float, float] = (0.0, 0.0)
    columns: FloatImage | None = None
    columns_error: FloatImage | None = None

    def __post_init__(self) -> None:
        if not (0 < self.sampling < np.inf and 0 < self.thickness_nm < np.inf):
            raise InputError(
                f"reconstruction: found pixels of {self.sampling} Å, {self.thickness_nm} nm; allowed: above 0"
            )
        for name in ("potential", "mean_potential", "spread", "idpc", "columns", "columns_error"):
            image = getattr(self, name)
            if image is not None and (image.ndim != 2 or image.shape != self.potential.shape):
                raise InputError(
                    f"reconstruction: found {name} of shape {image.shape}; allowed: images of {self.potential.shape}"
                )
            if image is not None and not np.isfinite(image).all():
                raise InputError(f"reconstruction: found NaN or infinity in {name}; allowed: finite numbers")


@dataclass(frozen=True)
class Trained:
    """
    A network and its origin.

    Attributes
    ----------
    network : PotentialNetwork or ColumnNetwork
        Network in evaluation mode; the second is the one for any crystal.
    described : mapping
        What it was trained on and how.
    path : path
        File of its weights.
    sha256 : str
        Checksum of that file.
    """

    network: PotentialNetwork | ColumnNetwork
    described: Mapping[str, Any]
    path: Path
    sha256: str

    @property
    def potential_network(self) -> PotentialNetwork:
        """The network of a few crystals; InputError for the one for any crystal, which is told less."""
        if isinstance(self.network, PotentialNetwork):
            return self.network
        raise InputError(
            f"{self.path}: found a network for any crystal, which this cannot use; allowed: weights that "
            "model.projection describes, such as resources/models/laptop.safetensors"
        )


def shipped_weights() -> Path:
    """
    Find the weights in the repository.

    Returns
    -------
    path
        Their path in the repository from which the package is installed (`pip install -e`), else in the working
        directory; InputError if they are in neither, as an installed wheel does not hold them.
    """
    for folder in (Path(__file__).parents[3], Path.cwd()):
        if (folder / SHIPPED).is_file():
            return folder / SHIPPED
    raise InputError(
        f"weights: found no {SHIPPED} beside this package; give --weights FILE, such as the one of the repository"
    )


def load_trained(path: Path | None = None, device: str = "cpu", allow_pickle: bool = False) -> Trained:
    """
    Load a network for reconstruction.

    Parameters
    ----------
    path : path, optional
        Weights; the repository's if not given.
    device : str
        Torch device.
    allow_pickle : bool
        Also read .pt weights of the published system.

    Returns
    -------
    Trained
        Network with its description; InputError if the file is missing or holds no weights.
    """
    path = shipped_weights() if path is None else path
    network: PotentialNetwork | ColumnNetwork
    if holds_columns(path):
        network, described = load_column_weights(path)
    else:
        network, described = load_weights(path, allow_pickle)
    with path.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    return Trained(network.to(device).eval(), described, path, checksum)


@dataclass(frozen=True)
class Choices:
    """
    How a potential is made of images.

    Attributes
    ----------
    turns : int
        Quarter turns that predictions are averaged over, 1 or 4.
    tiling : Tiling
        How a large image is cut.
    errors : ToldErrors
        How well tilt and thickness are known: the uncertainty is widened by what they do to the potential, for which
        the network runs at several told values, without a mean over turns.
    with_columns : bool
        Keep the columns at the entrance surface too.
    """

    turns: int = 4
    tiling: Tiling = DEFAULT
    errors: ToldErrors = told_errors.DEFAULT
    with_columns: bool = False

    def __post_init__(self) -> None:
        if self.turns not in (1, 4):
            raise InputError(f"turns: found {self.turns}; allowed: 1 or 4")


USUAL = Choices()
"""What is done where a user says nothing."""


def reconstruct(
    image: SegmentedImage,
    trained: Trained,
    choices: Choices = USUAL,
    progress: Progress | None = None,
    warnings: tuple[str, ...] = (),
) -> Reconstruction:
    """
    Reconstruct the projected potential of one image.

    Parameters
    ----------
    image : SegmentedImage
        Images of the four segments, with all calibrations of `preparation.OPTIONS`.
    trained : Trained
        Network.
    choices : Choices
        How the prediction is made, and which results are kept.
    progress : callable, optional
        Called with the numbers of tiles done and in all.
    warnings : tuple of str
        Warnings to be recorded in addition to those of this function.

    Returns
    -------
    Reconstruction
        Result on the network's pixels. `attributes['warnings']` lists settings for which the network was not trained,
        `attributes['holds']` says for which tilt and thickness the potential holds.

    Raises
    ------
    InputError
        If a calibration is missing, the field is too small, the prediction is not finite, or columns are asked of a
        network that predicts none.
    """
    network, turns, tiling = trained.potential_network, choices.turns, choices.tiling
    if choices.with_columns and network.settings.projection == "direct":
        raise InputError(
            "--columns: found a network that predicts no columns; allowed: one trained with model.projection 'columns'"
        )
    prepared = prepare(image, network.sampling)
    columns = mean_columns(network, prepared.segments, prepared.metadata, turns, tiling, progress)
    potential, spread = project_potential(network, columns, prepared.metadata)
    if spread is not None:
        predict = lambda told: predict_large(network, prepared.segments, told, 1, tiling)[0]  # noqa: E731
        spread = widened(spread, prepared.metadata, choices.errors, predict, potential if turns == 1 else None)
    scanned, calibrated = idpc_potential(prepared)
    found = [*warnings, *setting_warnings(image, trained)]
    if not calibrated:
        found.append(UNCALIBRATED)
    thickness, alpha, beta, gamma = map(float, prepared.metadata)
    return Reconstruction(
        potential=potential,
        mean_potential=potential / np.float32(10 * thickness),
        spread=spread,
        idpc=scanned,
        sampling=round(prepared.sampling, 9),
        thickness_nm=thickness,
        tilt_deg=(alpha, beta),
        rotation_deg=gamma,
        attributes=attributes_of(image, trained, prepared, choices)
        | {"holds": choices.errors.describe(prepared.metadata), "warnings": found},
        origin=prepared.origin,
        columns=columns[0, 0].numpy() if choices.with_columns else None,
    )


def setting_warnings(image: SegmentedImage, trained: Trained) -> list[str]:
    """Warnings about settings for which the network was not trained, and about assumptions."""
    assumed = []
    if image.scan_rotation_deg is None:
        assumed.append(
            "scan rotation: the file does not give the rotation of the detector in the scan; 0 degrees are assumed"
        )
    return [*range_warnings(image, trained.described), *assumed]


def attributes_of(
    image: SegmentedImage, trained: Trained, prepared: Prepared, choices: Choices | None = None
) -> dict[str, Any]:
    """Attributes that say how a reconstruction was made."""
    optics = ("energy_kev", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad", "dose")
    calibration = ("sampling", "beam_intensity", "dark_intensity", "order", "scan_rotation_deg")
    chosen: dict[str, Any] = {}
    if choices is not None:
        chosen = {"turns": choices.turns, "tile": choices.tiling.tile, "overlap": choices.tiling.overlap}
    return {
        "version": __version__,
        "source": image.source,
        "weights": trained.path.name,
        "weights_sha256": trained.sha256,
        "settings": {
            **{name: getattr(image, name) for name in (*optics, *calibration)},
            "segment_names": list(image.names),
            "frame_turned_deg": prepared.turned_deg,
            **chosen,
        },
    }
