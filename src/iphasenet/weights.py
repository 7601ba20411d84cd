"""Network weights as safetensors, with what is needed to use them."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from iphasenet.errors import InputError
from iphasenet.files import atomic_file
from iphasenet.model import ModelSettings, PotentialNetwork


def save_weights(path: str | Path, network: PotentialNetwork, described: Mapping[str, Any], half: bool = False) -> None:
    """
    Write weights; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        safetensors file to be made.
    network : PotentialNetwork
        Network.
    described : mapping
        What it was trained on and how, kept in the header as JSON.
    half : bool
        Keep half-precision numbers: half the size; predictions change by less than 0.1 % of their contrast.
    """
    header = {
        "model": json.dumps(asdict(network.settings)),
        "output_scale_v": json.dumps(network.output_scale),
        "sampling_angstrom": json.dumps(network.sampling),
        "description": json.dumps(described),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if half:
        tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_weights(path: str | Path) -> tuple[PotentialNetwork, dict[str, Any]]:
    """
    Read a network from its weights.

    Parameters
    ----------
    path : path
        safetensors file that `save_weights` wrote.

    Returns
    -------
    network : PotentialNetwork
        In evaluation mode, on the CPU.
    described : dict
        What it was trained on and how.

    Raises
    ------
    InputError
        When the file is missing or not such a file.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            header = stream.metadata() or {}
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        numbers = [json.loads(header[name]) for name in ("output_scale_v", "sampling_angstrom")]
        network = PotentialNetwork(ModelSettings(**json.loads(header["model"])), *numbers)
    except (FileNotFoundError, SafetensorError, KeyError) as error:
        raise InputError(f"{path}: found no usable weights ({error}); allowed: a file written by training") from error
    network.load_state_dict(state)
    return network.eval(), json.loads(header["description"])
