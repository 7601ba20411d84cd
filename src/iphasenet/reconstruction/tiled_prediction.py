"""Prediction for an image of any size: in overlapping tiles, except for steps that need the whole image."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.devices import room_for_images
from iphasenet.base.errors import InputError
from iphasenet.network.column_projection import column_shift
from iphasenet.network.potential_network import PotentialNetwork, describe, encode
from iphasenet.network.symmetry import turned

STEP = 32
"""Sides of a tile are multiples of this."""

SMALLEST = 64
"""Smallest side of an image [pixels]; the network was not trained on smaller ones."""

_BLOCK = 384
"""Side of the blocks in which columns of a large image are projected [pixels]."""

_MARGIN = 64
"""Extra margin around a block [pixels], in addition to the columns' shift: for its lattice, and ringing at its rim."""

_BLENDED = 32
"""Memory for blending tiles, per pixel of the image [bytes]: sums of two outputs and of weights, and copies."""

Progress = Callable[[int, int], object]
FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class Tiling:
    """
    How an image is cut into tiles.

    Attributes
    ----------
    tile : int
        Side of a tile [pixels], smaller where the image is smaller.
    overlap : float
        Share of a tile that overlaps with the next one; tiles are blended by Gaussians.
    batch : int
        Tiles that are predicted together.
    """

    tile: int = 128
    overlap: float = 0.5
    batch: int = 4

    def __post_init__(self) -> None:
        if self.tile < SMALLEST or self.tile % STEP:
            raise InputError(f"tile: found {self.tile} pixels; allowed: multiples of {STEP}, at least {SMALLEST}")
        if not 0 <= self.overlap < 1 or self.batch < 1:
            raise InputError(
                f"tiles: found an overlap of {self.overlap} and {self.batch} tiles together; allowed: an overlap of 0 "
                "to below 1, at least 1 tile"
            )

    def sides(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the tiles of an image."""
        if min(shape) < SMALLEST:
            raise InputError(f"image: found {shape[0]} x {shape[1]} of the network's pixels; "
                             f"allowed: at least {SMALLEST} along each side")  # fmt: skip
        y, x = (min(self.tile, STEP * (size // STEP)) for size in shape)
        return y, x

    def count(self, shape: tuple[int, int]) -> int:
        """Count the tiles of an image."""
        steps = [
            1 + math.ceil((size - side) / max(1, int(side * (1 - self.overlap))))
            for size, side in zip(shape, self.sides(shape), strict=True)
        ]
        return steps[0] * steps[1]


DEFAULT = Tiling()


@torch.inference_mode()
def predict_large(
    network: PotentialNetwork,
    segments: FloatImage,
    metadata: FloatImage,
    turns: int = 1,
    tiling: Tiling = DEFAULT,
    progress: Progress | None = None,
) -> tuple[FloatImage, FloatImage | None]:
    """
    Predict the projected potential of one image of any size.

    Columns at the entrance surface are predicted in tiles, with the metadata, mean and contrast of the whole image. The
    projection of the whole image follows, after the mean over turns. An image of one tile is predicted like
    `evaluation.prediction.predict_images` does.

    Parameters
    ----------
    network : PotentialNetwork
        Network in evaluation mode.
    segments : (4, y, x) array
        Fractions of the beam current, on the network's pixels.
    metadata : (4,) array
        Thickness [nm], alpha, beta, gamma [degrees].
    turns : int
        Number of quarter turns over which predictions are averaged, 1 or 4.
    tiling : Tiling
        How the image is cut into tiles.
    progress : callable, optional
        Called with the numbers of tiles done and in all.

    Returns
    -------
    potential : (y, x) float32 array
        Projected potential [V Å].
    spread : (y, x) float32 array or None
        Its spread [V Å]; None if the network predicts none.

    Raises
    ------
    InputError
        If the image is too small or the prediction is not finite.
    """
    return project_potential(network, mean_columns(network, segments, metadata, turns, tiling, progress), metadata)


@torch.inference_mode()
def mean_columns(
    network: PotentialNetwork,
    segments: FloatImage,
    metadata: FloatImage,
    turns: int = 1,
    tiling: Tiling = DEFAULT,
    progress: Progress | None = None,
) -> Tensor:
    """Predict columns at the entrance surface and their spread (1, 1 or 2, y, x) [V], for `predict_large`."""
    image, known = torch.from_numpy(segments).float()[None], torch.from_numpy(metadata).float()[None]
    total: Tensor | None = None
    tiles = turns * tiling.count((image.shape[2], image.shape[3]))
    count = _Counter(tiles, progress)
    for turn in range(turns):
        seen, described = turned(image, known, turn)
        found = predict_columns(network, seen, described, tiling, count).rot90(-turn, (2, 3)) / turns
        total = found if total is None else total + found
    assert total is not None
    return total


@torch.inference_mode()
def project_potential(
    network: PotentialNetwork, columns: Tensor, metadata: FloatImage
) -> tuple[FloatImage, FloatImage | None]:
    """Project the result of `mean_columns` along the tilt; returns potential and spread like `predict_large`."""
    known, total = torch.from_numpy(metadata).float()[None], columns.clone()
    total[:, :1] = project_large(network, total[:, :1], known)
    if not bool(torch.isfinite(total).all()):
        raise InputError(
            "the prediction holds NaN or infinity: the weights or the images are unusable; nothing is written"
        )
    potential, *spread = (10 * float(metadata[0]) * total[0]).numpy()
    return potential, spread[0] if spread else None


class _Counter:
    """Reports the number of tiles done."""

    def __init__(self, every: int, progress: Progress | None) -> None:
        self.done, self.every, self.progress = 0, every, progress

    def __call__(self, tiles: int) -> None:
        self.done += tiles
        if self.progress is not None:
            self.progress(min(self.done, self.every), self.every)


@torch.inference_mode()
def predict_columns(
    network: PotentialNetwork,
    segments: Tensor,
    metadata: Tensor,
    tiling: Tiling = DEFAULT,
    advance: Callable[[int], object] = lambda _: None,
) -> Tensor:
    """
    Predict the columns of one image at the entrance surface, in tiles.

    Parameters
    ----------
    network : PotentialNetwork
        Network in evaluation mode.
    segments : (1, 4, y, x) tensor
        Fractions of the beam current.
    metadata : (1, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].
    tiling : Tiling
        How the image is cut.
    advance : callable
        Called with the number of tiles that were predicted together.

    Returns
    -------
    (1, 1 or 2, y, x) tensor
        Output like that of `PotentialNetwork.columns`, on the CPU.
    """
    device = next(network.parameters()).device
    description = describe(segments, metadata).to(device)

    def predictor(tiles: Tensor) -> Tensor:
        columns = network.columns(tiles, description.expand(len(tiles), -1))
        advance(len(tiles))
        return columns

    # MONAI imports all of itself, which takes a second.
    from monai.inferers import sliding_window_inference

    found: Any = sliding_window_inference(
        encode(segments, metadata, network.settings.inputs, network.settings.angles),
        roi_size=tiling.sides((segments.shape[2], segments.shape[3])),
        sw_batch_size=tiling.batch,
        predictor=predictor,
        overlap=tiling.overlap,
        mode="gaussian",
        sw_device=device,
        # Tiles are blended on the device that predicts them, if it has memory for the whole image.
        device=device if _BLENDED * segments[0, 0].numel() <= room_for_images(device) else "cpu",
    )
    return torch.as_tensor(found).cpu()


@torch.inference_mode()
def project_large(network: PotentialNetwork, columns: Tensor, metadata: Tensor) -> Tensor:
    """
    Project columns of an image of any size, like `PotentialNetwork.project`.

    Parameters
    ----------
    network : PotentialNetwork
        Network, which has the projection.
    columns : (1, 1, y, x) tensor
        Columns at the entrance surface [V], in the host's memory.
    metadata : (1, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].

    Returns
    -------
    (1, 1, y, x) tensor
        Mean potential [V], in the host's memory; the network's device projects. A large image is projected block by
        block, each with a margin that holds all columns that reach into it. This bounds the memory, and the area
        beyond the field continues the lattice of the nearby edge, not that of the image's centre.
    """
    height, width = columns.shape[2:]
    device = next(network.parameters()).device

    def project(part: Tensor) -> Tensor:
        return network.project(part[:, 0].to(device), metadata.to(device))[:, None].to(columns.device)

    if network.settings.projection == "direct" or max(height, width) <= 2 * _BLOCK:
        return project(columns)
    lean = math.ceil(float(column_shift(metadata).abs().max()) / network.sampling)
    margin = _MARGIN + min(lean, _BLOCK)
    result = torch.empty_like(columns)
    for rows in _blocks(height):
        for across in _blocks(width):
            (top, bottom), (left, right) = (
                (max(0, part.start - margin), min(size, part.stop + margin))
                for part, size in ((rows, height), (across, width))
            )
            projected = project(columns[..., top:bottom, left:right])
            inner = (slice(rows.start - top, rows.stop - top), slice(across.start - left, across.stop - left))
            result[..., rows, across] = projected[..., *inner]
    return result


def _blocks(size: int) -> list[slice]:
    """Equal parts of a side, at most `_BLOCK` long."""
    ends = np.linspace(0, size, math.ceil(size / _BLOCK) + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]
