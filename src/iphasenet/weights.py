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
from iphasenet.published import ENDINGS as PICKLES
from iphasenet.published import load_published


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


def load_weights(path: str | Path, allow_pickle: bool = False) -> tuple[PotentialNetwork, dict[str, Any]]:
    """
    Read a network from its weights.

    Parameters
    ----------
    path : path
        safetensors file that `save_weights` wrote.
    allow_pickle : bool
        Read the published system's pickled state dicts too, as `iphasenet.published.load_published` does.

    Returns
    -------
    network : PotentialNetwork
        In evaluation mode, on the CPU.
    described : dict
        What it was trained on and how; nothing for a pickle, which does not say.

    Raises
    ------
    InputError
        When the file is missing, not such a file, or a pickle that is not allowed.
    """
    if Path(path).suffix.lower() in PICKLES:
        if not allow_pickle:
            raise InputError(f"{path}: found a pickle, which can run code when it is loaded; allowed: a safetensors "
                             "file, or --allow-pickle for a state dict that you trust")  # fmt: skip
        return load_published(path), {}
    try:
        with safe_open(path, framework="pt") as stream:
            header = stream.metadata() or {}
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        numbers = [json.loads(header[name]) for name in ("output_scale_v", "sampling_angstrom")]
        network = PotentialNetwork(ModelSettings(**json.loads(header["model"])), *numbers)
        network.load_state_dict(state)
        described: dict[str, Any] = json.loads(header["description"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        told = str(error).splitlines()[0]
        raise InputError(f"{path}: found no usable weights ({told}); allowed: a file written by training") from error
    return network.eval(), described
