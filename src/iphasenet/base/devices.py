"""Choice of the torch device, and of the number of threads where results must be reproducible."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from iphasenet.base.errors import InputError


def choose_device(name: str) -> str:
    """
    Resolve a configured device.

    Parameters
    ----------
    name : {'auto', 'cpu', 'cuda'}
        'auto' takes a GPU if there is one.

    Returns
    -------
    str
        Torch device; InputError when 'cuda' is asked for and absent.
    """
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise InputError("device: found 'cuda', but no GPU is usable; allowed: auto, cpu")
    return "cuda" if present and name != "cpu" else "cpu"


def room_for_images(device: torch.device) -> int:
    """Memory of a GPU that training images may take [bytes]: half of what is free (the network needs the rest)."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 0


def send(array: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Array as a tensor on a device. A GPU copies it while it computes, for which the memory must be pinned."""
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(array)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def single_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Context in which mixed precision is off."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """
    Compute in full float32, as a CPU does: GPUs may use TF32, with a mantissa of 10 bits.

    Torch uses TF32 for convolutions by default, and for matrix products where a user asks for it.

    Parameters
    ----------
    device : torch.device
        Device that computes.
    """
    if device.type != "cuda":
        yield
        return
    convolutions: Any = torch.backends.cudnn
    operations = (torch.backends.cuda.matmul, convolutions.conv)
    before = [operation.fp32_precision for operation in operations]
    try:
        for operation in operations:
            operation.fp32_precision = "ieee"
        yield
    finally:
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision


@contextmanager
def use_threads(number: int) -> Iterator[None]:
    """
    Compute with a number of threads, whatever the environment says.

    The number of threads changes the order of sums in torch and NumPy, and so the last bit of a result. Results that
    must be the same bytes on any number of cores are computed with one thread.

    Parameters
    ----------
    number : int
        Threads of torch, BLAS and OpenMP within the context.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)
