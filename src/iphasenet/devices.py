"""Choice of the torch device."""

import torch

from iphasenet.errors import InputError


def choose_device(name: str) -> str:
    """
    Resolve a configured device.

    Parameters
    ----------
    name : {'auto', 'cpu', 'cuda'}
        'auto' takes a GPU where there is one.

    Returns
    -------
    str
        Torch device; InputError when 'cuda' is asked for and absent.
    """
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise InputError("device: found 'cuda', but no GPU is usable; allowed: auto, cpu")
    return "cuda" if present and name != "cpu" else "cpu"
