"""Network weights as safetensors, with all that is needed to use them."""

import io
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_settings import ColumnModel, holds_columns
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.published import ENDINGS as PICKLES
from iphasenet.network.published import load_published
from iphasenet.network.sealed_tensors import read_tensors, usable_weights, write_tensors
from iphasenet.network.settings import ModelSettings


def save_weights(path: str | Path, network: PotentialNetwork, described: Mapping[str, Any], half: bool = False) -> None:
    """
    Write weights; the file appears whole or not at all, and the same network makes the same bytes.

    Parameters
    ----------
    path : path
        safetensors file to be made.
    network : PotentialNetwork
        Network.
    described : mapping
        What it was trained on and how, kept in the header as JSON.
    half : bool
        Store half-precision numbers: the file is half as large; predictions change by less than 0.1 % of their
        contrast.
    """
    header = {
        "model": asdict(network.settings),
        "output_scale_v": network.output_scale,
        "sampling_angstrom": network.sampling,
        "description": described,
    }
    write_tensors(path, network.state_dict(), header, half)


def save_column_weights(
    path: str | Path, network: ColumnNetwork, described: Mapping[str, Any], half: bool = False
) -> None:
    """Write weights of a network for any crystal, like `save_weights`."""
    header = {
        "column_model": asdict(network.settings),
        "sampling_angstrom": network.sampling,
        "energy_kev": network.energy_kev,
        "description": described,
    }
    # What was measured after training holds numbers that half precision does not.
    write_tensors(path, network.state_dict(), header, half, kept=[name for name, _ in network.named_buffers()])


def load_weights(path: str | Path, allow_pickle: bool = False) -> tuple[PotentialNetwork, dict[str, Any]]:
    """
    Read a network from its weights.

    Parameters
    ----------
    path : path
        safetensors file that `save_weights` wrote.
    allow_pickle : bool
        Read the published system's pickled state dicts too, as `iphasenet.network.published.load_published` does.

    Returns
    -------
    network : PotentialNetwork
        Network in evaluation mode, on the CPU.
    described : dict
        What it was trained on and how; empty for a pickle, which does not say.

    Raises
    ------
    InputError
        When the file is missing, damaged, not such a file, or a pickle that is not allowed. Files without a checksum,
        which training wrote before it kept one, are read as they are.
    """
    if Path(path).suffix.lower() in PICKLES:
        if not allow_pickle:
            raise InputError(f"{path}: found a pickle, which can run code when it is loaded; allowed: a safetensors "
                             "file, or --allow-pickle for a state dict that you trust")  # fmt: skip
        return load_published(path), {}
    if holds_columns(path):
        raise InputError(f"{path}: found a network for any crystal; allowed here: one of known crystals")
    with usable_weights(path):
        state, header = read_tensors(path)
        numbers = [header[name] for name in ("output_scale_v", "sampling_angstrom")]
        if not all(0 < number < math.inf for number in numbers):
            raise ValueError(f"an output scale and a pixel of {numbers}")
        network = PotentialNetwork(ModelSettings(**header["model"]), *numbers)
        network.load_state_dict(state)
        described: dict[str, Any] = header["description"]
    return network.eval(), described


def load_column_weights(path: str | Path) -> tuple[ColumnNetwork, dict[str, Any]]:
    """Read a network for any crystal from its weights, like `load_weights`; it is in evaluation mode, on the CPU."""
    with usable_weights(path):
        state, header = read_tensors(path)
        sampling = header["sampling_angstrom"]
        if not 0 < sampling < math.inf:
            raise ValueError(f"a pixel of {sampling}")
        if "filters" not in header["column_model"]:
            raise ValueError("their network is of an earlier version")
        # The first ones did not say it.
        energy = float(header.get("energy_kev", 200))
        network = ColumnNetwork(ColumnModel(**header["column_model"]), sampling, energy)
        network.load_state_dict(state)
        described: dict[str, Any] = header["description"]
    return network.eval(), described


def weights_in(folder: Path) -> list[Path]:
    """List the files of a folder that `load_weights` reads: not those of networks for any crystal."""
    return [path for path in sorted(folder.glob("*.safetensors")) if not holds_columns(path)]


def write_pytorch(path: str | Path, value: Any) -> None:
    """Write values as PyTorch pickles them; the file appears whole or not at all, and equal values make equal bytes."""
    # Given a path, PyTorch would write its name into the file, and not raise OSError on a full disk.
    content = io.BytesIO()
    torch.save(value, content)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())
