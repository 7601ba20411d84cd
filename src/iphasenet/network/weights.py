"""Network weights as safetensors, with all that is needed to use them."""

import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_settings import ColumnModel, holds_columns
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.published import ENDINGS as PICKLES
from iphasenet.network.published import load_published
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
    _write(path, network.state_dict(), header, half)


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
    _write(path, network.state_dict(), header, half, kept=[name for name, _ in network.named_buffers()])


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
    with _usable(path):
        state, header = _read(path)
        numbers = [header[name] for name in ("output_scale_v", "sampling_angstrom")]
        if not all(0 < number < math.inf for number in numbers):
            raise ValueError(f"an output scale and a pixel of {numbers}")
        network = PotentialNetwork(ModelSettings(**header["model"]), *numbers)
        network.load_state_dict(state)
        described: dict[str, Any] = header["description"]
    return network.eval(), described


def load_column_weights(path: str | Path) -> tuple[ColumnNetwork, dict[str, Any]]:
    """Read a network for any crystal from its weights, like `load_weights`; it is in evaluation mode, on the CPU."""
    with _usable(path):
        state, header = _read(path)
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


def _write(
    path: str | Path, state: Mapping[str, Tensor], header: Mapping[str, Any], half: bool, kept: Sequence[str] = ()
) -> None:
    """Write tensors with a header of JSON texts; `kept` names those that never become half precision."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        shortened = {name for name, tensor in tensors.items() if tensor.is_floating_point()} - set(kept)
        tensors = {name: tensor.half() if name in shortened else tensor for name, tensor in tensors.items()}
    texts = {name: json.dumps(value) for name, value in header.items()}
    with atomic_file(path) as temporary:
        temporary.write_bytes(_sealed(save(tensors, metadata=texts)))


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header that `_write` wrote."""
    content = Path(path).read_bytes()
    state, header = load(content), _header(content)["__metadata__"]
    if header.get("checksum", _checksum(content)) != _checksum(content):
        raise ValueError("their checksum is wrong: they have changed since they were written")
    return state, {name: json.loads(text) for name, text in header.items() if name != "checksum"}


@contextmanager
def _usable(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong with a file of weights into one line."""
    try:
        yield
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: found no usable weights ({told}); allowed: a file written by training") from error


def write_pytorch(path: str | Path, value: Any) -> None:
    """Write values as PyTorch pickles them; the file appears whole or not at all, and equal values make equal bytes."""
    # Given a path, PyTorch would write its name into the file, and not raise OSError on a full disk.
    content = io.BytesIO()
    torch.save(value, content)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _header(content: bytes) -> dict[str, Any]:
    """Read the header of a safetensors file: its tensors and metadata."""
    header: dict[str, Any] = json.loads(content[8 : 8 + _header_bytes(content)])
    return header


def _header_bytes(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")


def _checksum(content: bytes) -> str:
    """SHA-256 of tensors, their description and metadata, without the checksum itself."""
    header = _header(content)
    header["__metadata__"] = {name: text for name, text in header["__metadata__"].items() if name != "checksum"}
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    found.update(memoryview(content)[8 + _header_bytes(content) :])
    return found.hexdigest()


def _sealed(content: bytes) -> bytes:
    """Put a checksum into a safetensors file, and sort its header: safetensors writes metadata in any order."""
    header = _header(content)
    header["__metadata__"] = dict(sorted({**header["__metadata__"], "checksum": _checksum(content)}.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + _header_bytes(content) :]
