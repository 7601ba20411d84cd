"""Crystals taken from the table of a corpus, and their splits: no relative of a test crystal is trained on."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import counted
from iphasenet.base.tables import read_table
from iphasenet.corpus.beam_paths import BeamPath

_PATH = re.compile(r"\[(-?\d+) (-?\d+) (-?\d+)\] (\d+(?:\.\d+)?)(?: strain (\d+\.\d+) %)?")


@dataclass(frozen=True)
class Selection:
    """
    Which crystals and zone axes are taken.

    Attributes
    ----------
    largest_area : float
        Largest area across the beam after which a crystal repeats [Å²].
    most_atoms : int
        Largest number of atoms in the cell of the file.
    zone_axes : int
        Largest number of zone axes of a crystal: those with the smallest areas.
    strained : bool
        Whether zone axes are taken whose orthogonal cell needs a strain.
    readings : tuple of str
        How the file must have been read; those that are warned of may lack atoms.
    """

    largest_area: float = 60.0
    most_atoms: int = 100
    zone_axes: int = 3
    strained: bool = False
    readings: tuple[str, ...] = ("read",)

    def paths(self, text: str) -> list[BeamPath]:
        """Zone axes that are taken of those that the table lists; InputError for what is none."""
        small = [path for path in map(_path, text.split("; ")) if path.area <= self.largest_area]
        return [path for path in small if self.strained or not path.strain_percent][: self.zone_axes]


def _path(text: str) -> BeamPath:
    """Read what `BeamPath` writes."""
    found = _PATH.fullmatch(text)
    if found is None or not any(map(int, found.groups()[:3])):
        raise InputError(f"zone_axes: found '{text}'; allowed: an axis and its area, such as [1 0 0] 15.9")
    u, v, w, area, strain = found.groups()
    return BeamPath((int(u), int(v), int(w)), float(area), float(strain or 0))


def select(table: Path, selection: Selection) -> pandas.DataFrame:
    """
    Take crystals from a table that `iphasenet corpus` wrote.

    Parameters
    ----------
    table : Path
        The table.
    selection : Selection
        What is taken.

    Returns
    -------
    DataFrame
        Rows of the crystals, with a list of `BeamPath` as column ``paths``.

    Raises
    ------
    InputError
        If the table is none of a corpus, or nothing is left.
    """
    needed = ("name", "file", "reading", "atoms", "type", "family", "zone_axes")
    every = read_table(table, needed)
    ordered = every[every["zone_axes"].notna() & every["family"].notna()]
    few = pandas.to_numeric(ordered["atoms"], errors="coerce") <= selection.most_atoms
    fitting = ordered[ordered["reading"].isin(selection.readings) & few]
    chosen = fitting.assign(paths=[selection.paths(str(text)) for text in fitting["zone_axes"]])
    chosen = chosen[chosen["paths"].map(len) > 0].reset_index(drop=True)
    if chosen.empty:
        raise InputError(
            f"{table}: found no crystal with at most {selection.most_atoms} atoms and a zone axis of at most "
            f"{selection.largest_area:g} Å² among {counted(len(every), 'row')}; allowed: limits that leave some"
        )
    return chosen


def split_by_family(crystals: pandas.DataFrame, validation: int, test: int, seed: int) -> pandas.Series:
    """
    Hold out whole families, so that no crystal of training is a relative of one that is held out.

    Parameters
    ----------
    crystals : DataFrame
        Crystals with a column ``family``.
    validation, test : int
        Families in these splits. They are drawn at random from those with at most 5 % of the crystals, because larger
        ones hold what a network learns from.
    seed : int
        Seed of the draw.

    Returns
    -------
    Series of {'train', 'validation', 'test'}
        Split of each crystal.

    Raises
    ------
    InputError
        If a split would have no crystal, or there are too few families.
    """
    sizes = crystals["family"].value_counts()
    small = np.sort(sizes.index[sizes <= max(1, len(crystals) / 20)].to_numpy())
    for name, number in (("validation", validation), ("test", test)):
        if number < 1:
            raise InputError(f"{name}: found {counted(number, 'family', 'families')}; allowed: at least 1")
    if validation + test > len(small) or validation + test >= len(sizes):
        raise InputError(
            f"validation and test: found {validation} and {test} families to hold out; allowed: together at most "
            f"{min(len(small), len(sizes) - 1)}, the families with at most 5 % of the crystals"
        )
    drawn = np.random.default_rng(np.random.SeedSequence(seed)).permutation(small)[: validation + test]
    held = {family: "test" if number < test else "validation" for number, family in enumerate(drawn)}
    return crystals["family"].map(lambda family: held.get(family, "train"))
