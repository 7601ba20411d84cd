"""safetensors files with a checksum, whose bytes depend on nothing but what they hold."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file


def write_tensors(
    path: str | Path,
    state: Mapping[str, Tensor],
    header: Mapping[str, Any],
    half: bool = False,
    kept: Sequence[str] = (),
) -> None:
    """
    Write tensors; the file appears whole or not at all, and the same tensors make the same bytes.

    Parameters
    ----------
    path : path
        safetensors file to be made.
    state : mapping
        Tensors.
    header : mapping
        Values that are kept as JSON texts.
    half : bool
        Store half-precision numbers.
    kept : sequence of str
        Names of tensors that never become half precision.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        shortened = {name for name, tensor in tensors.items() if tensor.is_floating_point()} - set(kept)
        tensors = {name: tensor.half() if name in shortened else tensor for name, tensor in tensors.items()}
    texts = {name: json.dumps(value) for name, value in header.items()}
    with atomic_file(path) as temporary:
        temporary.write_bytes(_sealed(save(tensors, metadata=texts)))


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header that `write_tensors` wrote; ValueError if they have changed."""
    content = Path(path).read_bytes()
    state, header = load(content), _header(content)["__metadata__"]
    if header.get("checksum", _checksum(content)) != _checksum(content):
        raise ValueError("their checksum is wrong: they have changed since they were written")
    return state, {name: json.loads(text) for name, text in header.items() if name != "checksum"}


@contextmanager
def usable_weights(path: str | Path, what: str = "weights", maker: str = "training") -> Iterator[None]:
    """Turn what goes wrong with a file of weights into one line, which calls them `what` and names their maker."""
    try:
        yield
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: found no usable {what} ({told}); allowed: a file written by {maker}") from error


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
