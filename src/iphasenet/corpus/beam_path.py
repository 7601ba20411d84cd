"""A zone axis of a crystal, as the table of a corpus holds it."""

import re
from dataclasses import dataclass

from iphasenet.base.errors import InputError

Axis = tuple[int, int, int]

_WRITTEN = re.compile(r"\[(-?\d+) (-?\d+) (-?\d+)\] (\d+(?:\.\d+)?)(?: strain (\d+\.\d+) %)?")


@dataclass(frozen=True)
class BeamPath:
    """
    A zone axis of a crystal.

    Attributes
    ----------
    zone_axis : (int, int, int)
        Lattice direction of the beam, as indices of the cell of the file.
    area : float
        Area across the beam after which the crystal repeats [Å²]: that of the orthogonal cell over its translations.
    strain_percent : float
        Strain that makes the cell orthogonal.
    """

    zone_axis: Axis
    area: float
    strain_percent: float

    def __str__(self) -> str:
        strain = f" strain {self.strain_percent:.2f} %" if self.strain_percent >= 0.005 else ""
        return f"[{' '.join(map(str, self.zone_axis))}] {self.area:.1f}{strain}"

    @classmethod
    def of(cls, text: str) -> "BeamPath":
        """Read what `str` writes; InputError for what is none."""
        found = _WRITTEN.fullmatch(text)
        if found is None or not any(map(int, found.groups()[:3])):
            raise InputError(f"zone_axes: found '{text}'; allowed: an axis and its area, such as [1 0 0] 15.9")
        u, v, w, area, strain = found.groups()
        return cls((int(u), int(v), int(w)), float(area), float(strain or 0))
