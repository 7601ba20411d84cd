"""Projection of inclined columns: from the untilted crystal to the projected potential of the tilted one.

In a crystal of straight columns with a small tilt t, a column is shifted by t z at depth z. The mean potential is that
of the untilted crystal, averaged along a line with a length and direction given by thickness and tilt. This module
depends only on torch.
"""

import math

import torch
from torch import Tensor

from iphasenet.network.lattice import continued, lattice_vectors

SHORTEST_PERIOD = 1.5
"""Shortest period of a crystal's projection that is sought [Å]."""


def column_lean(metadata: Tensor) -> Tensor:
    """Lateral shift of a column per depth (batch, 2), along x and y; `metadata` as in `column_shift`."""
    _, alpha, beta, _ = torch.deg2rad(metadata).unbind(dim=1)
    return torch.stack([torch.tan(beta), -torch.tan(alpha) / torch.cos(beta)], dim=1)


def column_shift(metadata: Tensor) -> Tensor:
    """
    Lateral shift of a column from the entrance to the exit surface.

    Parameters
    ----------
    metadata : (batch, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].

    Returns
    -------
    (batch, 2) tensor
        Shift along x and y [Å].
    """
    return column_lean(metadata) * (10 * metadata[:, :1])


def project_columns(columns: Tensor, shift: Tensor, sampling: float) -> Tensor:
    """
    Mean over depth of columns whose displacement grows from 0 to `shift`.

    Columns that reach into the field of view from outside are those of the image, continued by its lattice.

    Parameters
    ----------
    columns : (batch, y, x) tensor
        Mean potential of the untilted crystal, with the columns at their places at the entrance surface.
    shift : (batch, 2) tensor
        Displacement at the exit surface along x and y [Å], limited to the size of the field.
    sampling : float
        Pixel size [Å].

    Returns
    -------
    (batch, y, x) tensor
        Mean potential of the tilted crystal, exact up to the pixel's Nyquist frequency where columns come from within
        the field.
    """
    height, width = columns.shape[-2:]
    pixels = shift / sampling
    pixels = pixels / (pixels.abs().amax(dim=1, keepdim=True) / min(height, width)).clamp_min(1)
    wide = continued(columns, lattice_vectors(columns, SHORTEST_PERIOD / sampling))
    size = wide.shape[-2:]
    ky = torch.fft.fftfreq(size[0], device=columns.device)[:, None]
    kx = torch.fft.rfftfreq(size[1], device=columns.device)
    cycles = pixels[:, 0, None, None] * kx + pixels[:, 1, None, None] * ky
    # The phases of x and y separate, so that two short exponentials replace a long one.
    along_y = torch.exp(-1j * math.pi * pixels[:, 1, None, None] * ky)
    along_x = torch.exp(-1j * math.pi * pixels[:, 0, None, None] * kx)
    line = torch.sinc(cycles) * along_y * along_x
    leaning = torch.fft.irfft2(torch.fft.rfft2(wide) * line, s=size)
    return leaning[:, height : 2 * height, width : 2 * width]
