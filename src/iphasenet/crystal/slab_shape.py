"""How a slab ends: at an edge within the field of view, by an inclined entrance surface."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """
    How a slab ends; a crystal without end and of even thickness if both are None.

    Attributes
    ----------
    edge : (float, float), optional
        Azimuth [degrees] in the image, from x to y, in which the crystal ends, and how far from the image's centre, in
        units of half the field of view: vacuum lies beyond.
    wedge : (float, float), optional
        Azimuth [degrees] in which the slab gets thinner, and the inclination of its entrance surface [degrees]. The
        nominal thickness is that at the image's centre.
    """

    edge: tuple[float, float] | None = None
    wedge: tuple[float, float] | None = None


INFINITE = Shape()
"""Without end and of even thickness."""
