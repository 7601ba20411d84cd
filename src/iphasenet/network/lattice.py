"""The lattice of a periodic image, and the image continued beyond its field of view. Depends on torch alone.

Training does this in every step. No number goes from the device to the host, which would have to wait for a GPU.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, max_pool2d

_REACH = 0.6
"""Longest translation that is sought, as a share of the field: for longer ones, too little of the image overlaps."""

_ALIKE = 0.93
"""Translations whose correlation is at least this share of the best one's belong to the lattice."""

_LEAST = 0.2
"""Smallest likeness of a lattice's translation; pure noise stays below it."""

_SINE = 0.45
"""Sine of the smallest angle, 27°, between two translations that span a cell."""


def lattice_vectors(images: Tensor, shortest: float) -> Tensor:
    """
    Find the two shortest translations that leave images alike.

    Parameters
    ----------
    images : (batch, y, x) tensor
        Periodic images.
    shortest : float
        Shortest translation that counts [pixels].

    Returns
    -------
    (batch, 2, 2) tensor
        Two translations (x, y) [pixels], to a fraction of a pixel, without gradient; where none is found, one field
        long.
    """
    with torch.no_grad():
        # Columns are hardly wider than a pixel: blurring makes the heights of maxima between pixels comparable.
        alike = _likeness(avg_pool2d(images[:, None], 3, 1, 1, count_include_pad=False)[:, 0])
        rows, columns = (size // 2 for size in alike.shape[-2:])
        y = torch.arange(-rows, rows + 1, device=images.device)[:, None].expand(-1, 2 * columns + 1)
        x = torch.arange(-columns, columns + 1, device=images.device).expand(2 * rows + 1, -1)
        length = torch.hypot(x.float(), y.float())
        # A translation and its opposite are the same; a maximum on the rim may be a mere slope.
        allowed = (length >= shortest) & (length <= min(rows, columns) - 1) & ((y > 0) | ((y == 0) & (x > 0)))
        peak = allowed & (alike == max_pool2d(alike[:, None], 5, 1, 2)[:, 0])
        best = torch.where(peak, alike, -torch.inf).amax(dim=(1, 2), keepdim=True)
        peak &= alike >= (_ALIKE * best).clamp_min(_LEAST)
        first = _shortest(peak, length)
        cross = x.flatten()[first, None, None] * y - y.flatten()[first, None, None] * x
        spanning = peak & (cross.abs() > _SINE * length.flatten()[first, None, None] * length)
        second = _shortest(spanning, length)
        found = torch.stack([torch.stack([x.flatten()[i], y.flatten()[i]], dim=1) for i in (first, second)], dim=1)
        found = _refined(alike, found.to(images.dtype))
        whole = torch.diag(torch.cat([images.new_full((1,), side) for side in (images.shape[2], images.shape[1])]))
        return torch.where(spanning.flatten(1).any(dim=1)[:, None, None], found, whole)


def _likeness(images: Tensor) -> Tensor:
    """1 minus the mean squared difference of an image and its shifted copy, over twice its variance."""
    height, width = images.shape[-2:]
    size = (2 * height, 2 * width)
    rows, columns = int(_REACH * height), int(_REACH * width)
    centred = images - images.mean(dim=(1, 2), keepdim=True)
    spectrum, power = torch.fft.rfft2(centred, s=size), torch.fft.rfft2(centred.square(), s=size)
    field = torch.fft.rfft2(torch.ones_like(centred[0]), s=size)
    # Both squares and the product at once: their sum over the overlap is real, and even in the displacement.
    differences = torch.fft.irfft2(2 * (power.conj() * field).real - 2 * spectrum.abs().square(), s=size)
    differences = torch.fft.fftshift(differences, dim=(1, 2))
    differences = differences[:, height - rows : height + rows + 1, width - columns : width + columns + 1]
    y = torch.arange(-rows, rows + 1, device=images.device).abs()[:, None]
    x = torch.arange(-columns, columns + 1, device=images.device).abs()
    variance = centred.square().mean(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(images.dtype).tiny)
    return 1 - differences / ((height - y) * (width - x)) / (2 * variance)


def _shortest(peak: Tensor, length: Tensor) -> Tensor:
    """Flat index of the peak nearest to the centre in each image."""
    return torch.where(peak, length, torch.inf).flatten(1).argmin(dim=1)


def _refined(alike: Tensor, vectors: Tensor) -> Tensor:
    """Find translations (batch, 2, 2) to a fraction of a pixel, by longer and longer multiples of them."""
    rows, columns = (size // 2 for size in alike.shape[-2:])
    limit = torch.cat([vectors.new_full((1,), side - 1) for side in (columns, rows)])
    for multiple in (1, 2, 4):
        aimed = (multiple * vectors).round()
        within = (aimed.abs() <= limit).all(dim=2, keepdim=True)
        vectors = torch.where(within, _maximum(alike, aimed.clamp(-limit, limit).long()) / multiple, vectors)
    return vectors


def _maximum(alike: Tensor, near: Tensor) -> Tensor:
    """Maximum near displacements (batch, n, 2), by a parabola along each axis [pixels]."""
    rows, columns = (size // 2 for size in alike.shape[-2:])
    image = torch.arange(len(alike), device=alike.device)[:, None]
    x, y = near[..., 0] + columns, near[..., 1] + rows
    here = alike[image, y, x]

    def offset(before: Tensor, after: Tensor) -> Tensor:
        curvature = before + after - 2 * here
        return (0.5 * (before - after) / torch.where(curvature < 0, curvature, -torch.inf)).clamp(-1, 1)

    dx = offset(alike[image, y, x - 1], alike[image, y, x + 1])
    dy = offset(alike[image, y - 1, x], alike[image, y + 1, x])
    return near + torch.stack([dx, dy], dim=-1)


def continued(images: Tensor, vectors: Tensor) -> Tensor:
    """
    Continue periodic images on all sides by one field of view.

    Parameters
    ----------
    images : (batch, y, x) tensor
        Images.
    vectors : (batch, 2, 2) tensor
        Translations from `lattice_vectors`.

    Returns
    -------
    (batch, 3 y, 3 x) tensor
        The unchanged images in the middle, surrounded by repetitions of their central cell.
    """
    height, width = images.shape[-2:]
    y = torch.arange(-height, 2 * height, device=images.device) - (height - 1) / 2
    x = torch.arange(-width, 2 * width, device=images.device) - (width - 1) / 2
    position = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], dim=-1).to(images.dtype)
    # Two translations always span a cell: a check would have to wait for the GPU.
    cells = torch.einsum("yxi,bij->byxj", position, torch.linalg.inv_ex(vectors).inverse)
    inside = torch.einsum("byxi,bij->byxj", cells - cells.round(), vectors)
    # grid_sample counts from -1 to 1 across the field.
    where = torch.stack([2 / width * inside[..., 0], 2 / height * inside[..., 1]], dim=-1)
    tiled = grid_sample(images[:, None], where, mode="bicubic", padding_mode="reflection", align_corners=False)[:, 0]
    middle = (slice(None), slice(height, 2 * height), slice(width, 2 * width))
    tiled[middle] = images
    return tiled
