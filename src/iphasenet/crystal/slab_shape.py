"""Shape of a slab: an edge within the field of view, an inclined entrance surface."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """
    Edge and wedge of a slab; if both are None, the crystal is infinite and of even thickness.

    Attributes
    ----------
    edge : (float, float), optional
        Azimuth [degrees] of the edge in the image, from x to y, and its distance from the image's centre in units of
        half the field of view; vacuum lies beyond it.
    wedge : (float, float), optional
        Azimuth [degrees] in which the slab gets thinner, and the inclination of its entrance surface [degrees]. The
        nominal thickness is that at the image's centre.
    """

    edge: tuple[float, float] | None = None
    wedge: tuple[float, float] | None = None


INFINITE = Shape()
"""Infinite crystal of even thickness."""
