"""Weights of the published system: a pickled state dict of MONAI's SwinUNETR, and the input that its scripts gave it.

Its scripts (`train.py`, `inference.py` of the team's repository) stack four segments, scaled jointly from 0 to 1, and
constant maps: thickness / 100 nm, then the three angles of the file's `rotation` in its order rz, rx, ry, either as
shares of 360 degrees (8 channels) or as three sines and then three cosines (11 channels). The target is the projected
potential over 600,000 V Å. Of all this, the state dict itself holds only the number of channels.
"""

import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iphasenet.base.errors import InputError
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings

ENDINGS = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
"""Endings of files that are pickles."""

OUTPUT_SCALE = 600_000.0
"""Projected potential of an output of 1 in the scripts [V Å]."""

SCRIPTS_ANGLES = ("gamma", "alpha", "beta")
"""Order of the angles in the published files, and so in its networks' channels."""

_ANGLES = ("alpha", "beta", "gamma")
_FIRST_LAYERS = (
    "swinViT.patch_embed.proj.weight",
    "encoder1.layer.conv1.conv.weight",
    "encoder1.layer.conv3.conv.weight",
)
_WINDOW_TABLE = "swinViT.layers1.0.blocks.0.attn.relative_position_bias_table"


def load_published(
    path: str | Path,
    angles: Sequence[str] = SCRIPTS_ANGLES,
    output_scale: float = OUTPUT_SCALE,
    sampling: float = 0.1,
) -> PotentialNetwork:
    """
    Read a network from a state dict that the published scripts wrote, or from a similar one.

    Only tensors are unpickled (`weights_only`), also under `state_dict` or with the prefix `module.`, as the scripts
    wrap them. Feature size, window and encoding follow from the tensors' shapes.

    Parameters
    ----------
    path : path
        File with the ending .pt.
    angles : sequence of str
        Order of alpha, beta and gamma among the channels.
    output_scale : float
        Projected potential of an output of 1 [V Å].
    sampling : float
        Pixel size of the images that it was trained on [Å].

    Returns
    -------
    PotentialNetwork
        Network in evaluation mode, on the CPU. The first layers' weights are permuted to this library's channel order.

    Raises
    ------
    InputError
        If the file is missing, is no such state dict or belongs to another network.
    """
    if sorted(angles) != sorted(_ANGLES):
        raise InputError(f"angles: found {', '.join(angles)}; allowed: {', '.join(_ANGLES)} in any order")
    state = _read(Path(path))
    settings = _settings(state, path)
    order = _channels(angles, settings)
    state |= {name: state[name][:, order] for name in _FIRST_LAYERS if name in state}
    network = PotentialNetwork(settings, output_scale, sampling)
    try:
        network.network.load_state_dict(state)
    except RuntimeError as error:
        told = " ".join(str(error).split()[:40])
        raise InputError(f"{path}: found the weights of another network ({told} ...); allowed: MONAI's SwinUNETR, "
                         "2D, one output") from error  # fmt: skip
    return network.eval()


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors of a state dict by MONAI's names."""
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give the path of a file that exists") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"{path}: found no readable state dict; allowed: a whole .pt file that holds only tensors"
        ) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(
            f"{path}: found {type(found).__name__}; allowed: a state dict, which holds tensors by their names"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def _settings(state: Mapping[str, Tensor], path: str | Path) -> ModelSettings:
    """Architecture that follows from the shapes of the tensors."""
    first, table = (state.get(name) for name in (_FIRST_LAYERS[0], _WINDOW_TABLE))
    if first is None or table is None or first.ndim != 4 or first.shape[1] not in (8, 11):
        found = "no SwinUNETR" if first is None or table is None else f"first weights of shape {tuple(first.shape)}"
        raise InputError(f"{path}: found {found}; allowed: MONAI's SwinUNETR, 2D, of 8 or 11 channels")
    return ModelSettings(
        feature_size=len(first),
        conditioning="maps",
        window_size=(math.isqrt(len(table)) + 1) // 2,
        angles="sines" if first.shape[1] == 11 else "shares",
        output="projected",
    )


def _channels(angles: Sequence[str], settings: ModelSettings) -> list[int]:
    """Index of the file's channel for each channel of this library."""
    places = [list(angles).index(name) for name in _ANGLES]
    blocks = 2 if settings.angles == "sines" else 1
    return [*range(5), *(5 + 3 * block + place for block in range(blocks) for place in places)]
