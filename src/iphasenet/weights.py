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


def save_weights(
    path: str | Path, network: PotentialNetwork, settings: ModelSettings, described: Mapping[str, Any]
) -> None:
    """
    Write weights; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        safetensors file to be made.
    network : PotentialNetwork
        Network.
    settings : ModelSettings
        Its architecture, kept in the file's header.
    described : mapping
        What it was trained on and how, kept in the header as JSON.
    """
    header = {
        "model": json.dumps(asdict(settings)),
        "output_scale_v": json.dumps(network.output_scale),
        "description": json.dumps(described),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
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
        network = PotentialNetwork(ModelSettings(**json.loads(header["model"])), json.loads(header["output_scale_v"]))
    except (FileNotFoundError, SafetensorError, KeyError) as error:
        raise InputError(f"{path}: found no usable weights ({error}); allowed: a file written by training") from error
    network.load_state_dict(state)
    return network.eval(), json.loads(header["description"])
