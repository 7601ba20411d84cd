"""Checkpoints of a run: writing, choice of the one from which a training resumes, and the best epoch."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

from iphasenet.base.errors import InputError
from iphasenet.network.weights import write_pytorch

NEWEST, BEST = "last.ckpt", "best.ckpt"
"""Names of a run's checkpoints in its folder."""


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write under a temporary name, then rename."""
        write_pytorch(Path(path), checkpoint)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """
    Read a checkpoint and check that no byte of it has changed.

    Parameters
    ----------
    path : path
        File that Lightning wrote.

    Returns
    -------
    dict
        Its content, on the CPU; InputError if the file is missing, cut off, changed or of another kind.
    """
    try:
        # PyTorch writes a checksum of every part, but does not check it on reading.
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()
        if changed:
            raise InputError(f"{path}: found a damaged checkpoint ({changed}); allowed: a whole, unchanged one")
        found: Any = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(found, dict) or not {"callbacks", "state_dict", "loops"} <= found.keys():
            raise ValueError("no state of a training")
    except InputError:
        raise
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: found no checkpoint ({reason}); allowed: one that training wrote") from error
    return found


class Provenance(Callback):
    """
    Records in every checkpoint what it was trained on and how, and refuses a checkpoint of another run.

    Parameters
    ----------
    described : mapping
        Data, noise, model and settings: plain values, nested.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.described = dict(described)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint keeps."""
        return self.described

    def check_file(self, path: Path) -> None:
        """Refuse a damaged checkpoint, or one of another run, before Lightning loads its weights."""
        kept = read_checkpoint(path)["callbacks"].get(self.state_key)
        if kept is None:
            raise InputError(f"{path}: found no checkpoint of this workflow; allowed: one that training wrote")
        self.load_state_dict(kept)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare a checkpoint's record with this run; InputError names the keys that differ."""
        before, now = _flat(state_dict), _flat(self.described)
        differing = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
        if differing:
            found = ", ".join(f"{key} ({before.get(key)}, now {now.get(key)})" for key in differing)
            raise InputError(f"checkpoint: found one of another configuration: {found}; allowed: one of the same run")


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {path: value}
    flat: dict[str, Any] = {}
    for name, child in value.items():
        flat |= _flat(child, f"{path}.{name}" if path else name)
    return flat


class BestCheckpoint(ModelCheckpoint):
    """
    Keeps the best epoch on the validation split, also after the run's folder was moved.

    Parameters
    ----------
    folder : path
        The run's.
    """

    # Lightning's key of the state in a checkpoint begins with it.
    __qualname__ = ModelCheckpoint.__qualname__

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder, Path(BEST).stem, monitor="validation_pearson", mode="max", enable_version_counter=False
        )
        self.file = Path(str(self.dirpath)) / BEST

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score from a checkpoint, which Lightning would not do after the folder was moved."""
        score, here = state_dict["best_model_score"], str(self.file)
        if score is None:
            return
        if not self.file.is_file():
            rank_zero_warn(f"{here}: this file is missing, so the best epoch is chosen among the coming ones")
            return
        paths = {"best_model_path": here, "kth_best_model_path": here, "best_k_models": {here: score}}
        super().load_state_dict({**state_dict, **paths, "dirpath": self.dirpath})

    def read(self) -> tuple[dict[str, Any], float]:
        """Return the weights and the score of the best epoch; InputError if the file is missing or damaged."""
        try:
            found = read_checkpoint(self.file)
        except InputError as error:
            raise InputError(f"{error}; without it the best epoch's weights are lost: remove {self.file.parent}, and "
                             "training starts anew") from error  # fmt: skip
        return found["state_dict"], float(found["callbacks"][self.state_key]["best_model_score"])


def starting_point(folder: Path) -> Path | None:
    """
    Choose the checkpoint from which a run resumes.

    Parameters
    ----------
    folder : path
        The run's.

    Returns
    -------
    path or None
        The newest checkpoint; if it is damaged or lost, the best one, with a warning; None if there is neither.
        InputError if all checkpoints, or the one of the best epoch, are damaged.
    """
    newest, best = folder / NEWEST, folder / BEST
    damaged: dict[Path, InputError] = {}
    for path in (best, newest):
        try:
            if path.is_file():
                read_checkpoint(path)
        except InputError as error:
            damaged[path] = error
    usable = newest.is_file() and newest not in damaged
    if best in damaged:
        other = f"remove it to go on from {NEWEST} without the best epoch so far, or " if usable else ""
        raise InputError(f"{damaged[best]}; {other}remove {folder}, and training starts anew")
    if usable:
        return newest
    if best.is_file():
        warnings.warn(f"{newest}: damaged or lost; training goes on from {best}, an earlier epoch", stacklevel=2)
        return best
    if newest in damaged:
        raise InputError(f"{damaged[newest]}; remove it, and training starts anew")
    return None
