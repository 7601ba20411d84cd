"""Crystals taken from the table of a corpus, and their splits: no relative of a test crystal is trained on.

Configurations are read with it, so it needs neither pandas nor a library that reads crystals.
"""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import CELL_AREA, SEED, Quantity, counted
from iphasenet.base.settings import Setting, Settings
from iphasenet.corpus.beam_path import BeamPath

Split = Literal["train", "validation", "test"]

_NEEDED = ("name", "file", "reading", "atoms", "family", "zone_axes")

READINGS = ("read", "warned", "refused")
"""How a file of a corpus was read."""

_ALLOWED = "a table that `iphasenet corpus` wrote"

_FAMILIES = Quantity("families", 1, 1000, whole=True)

_LARGE = 0.05
"""Families with a larger share of the crystals are never drawn: they hold what a network learns from."""


@dataclass(frozen=True)
class CorpusCrystal:
    """
    A crystal of a corpus.

    Attributes
    ----------
    name : str
        Name, of letters and digits; two crystals may have the same.
    cif : path
        Its structure.
    family : int
        Number that it shares with its relatives.
    paths : tuple of BeamPath
        Zone axes that are taken.
    """

    name: str
    cif: Path
    family: int
    paths: tuple[BeamPath, ...]


@dataclass(frozen=True)
class Corpus(Settings, section="corpus"):
    """Crystals of a table, which are added to the materials, and families of them that training does not see."""

    table: Annotated[
        str, Setting("Table of crystals that `iphasenet corpus` wrote, such as `resources/crystals.csv`.", path=True)
    ]
    folder: Annotated[str, Setting("Folder of which the table was made, such as `resources`.", path=True)]
    largest_area_angstrom2: Annotated[
        float, Setting("Largest area across the beam after which a crystal repeats.", CELL_AREA)
    ] = 60.0
    most_atoms: Annotated[
        int, Setting("Largest number of atoms in the cell of the CIF.", Quantity("", 1, 10_000, whole=True))
    ] = 100
    zone_axes: Annotated[
        int,
        Setting(
            "Largest number of zone axes of a crystal: those with the smallest areas.", Quantity("", 1, 13, whole=True)
        ),
    ] = 3
    strained: Annotated[
        bool, Setting("Whether zone axes are taken whose orthogonal cell needs a strain (up to 0.2 %).")
    ] = False
    warned: Annotated[
        bool, Setting("Whether crystals are taken whose file was read with a warning; they may lack atoms.")
    ] = False
    validation_families: Annotated[
        int, Setting("Number of families that validate a network and are not trained on.", _FAMILIES)
    ] = 15
    test_families: Annotated[
        int, Setting("Number of families that test a network and are not trained on.", _FAMILIES)
    ] = 40
    hold_out: Annotated[
        tuple[Annotated[str, Setting(most=100)], ...],
        Setting("Crystals whose families test a network too, however large.", most=1000, once=True, unordered=True),
    ] = ()
    draw: Annotated[int, Setting("Seed of the draw of families.", SEED)] = 1

    def crystals(self, root: Path = Path()) -> list[CorpusCrystal]:
        """
        Read the table.

        Parameters
        ----------
        root : path
            Folder to which the paths of the settings are relative.

        Returns
        -------
        list of CorpusCrystal
            Crystals that the settings take, in the order of the table.

        Raises
        ------
        InputError
            If the table is none of a corpus, or nothing is left.
        """
        rows = _rows(root / self.table)
        chosen = []
        for row in rows:
            if paths := self._paths(row):
                name = re.sub(r"[^A-Za-z0-9]", "", row["name"]) or "crystal"
                chosen.append(CorpusCrystal(name, Path(self.folder, row["file"]), int(float(row["family"])), paths))
        if not chosen:
            raise InputError(
                f"{self.table}: found no crystal with at most {self.most_atoms} atoms and a zone axis of at most "
                f"{self.largest_area_angstrom2:g} Å² among {counted(len(rows), 'row')}; allowed: limits that leave some"
            )
        return chosen

    def _paths(self, row: Mapping[str, str]) -> tuple[BeamPath, ...]:
        """Zone axes that are taken of a row of the table."""
        readings = ("read", "warned") if self.warned else ("read",)
        if row["reading"] not in readings or not all(row[name] for name in ("atoms", "family", "zone_axes")):
            return ()
        paths = _all_paths(row)
        if int(float(row["atoms"])) > self.most_atoms:
            return ()
        small = [path for path in paths if path.area <= self.largest_area_angstrom2]
        return tuple(path for path in small if self.strained or not path.strain_percent)[: self.zone_axes]

    def splits(self, crystals: Sequence[CorpusCrystal]) -> dict[str, Split]:
        """
        Hold out whole families, so that no crystal of training is a relative of one that is held out.

        Parameters
        ----------
        crystals : sequence of CorpusCrystal
            Crystals.

        Returns
        -------
        dict
            Split of each crystal by its name. Families are drawn from those with at most 5 % of the crystals.

        Raises
        ------
        InputError
            If there are too few families, or `hold_out` names none of the crystals.
        """
        families = {crystal.name: crystal.family for crystal in crystals}
        unknown = [name for name in self.hold_out if name not in families]
        if unknown:
            raise InputError(f"corpus.hold_out: found {unknown[0]!r}; allowed: crystals of the corpus that are taken")
        held = {families[name] for name in self.hold_out}
        sizes = Counter(families.values())
        small = sorted(family for family, size in sizes.items() if size <= max(1, _LARGE * len(crystals)))
        left = [family for family in small if family not in held]
        wanted = self.validation_families + self.test_families
        if wanted > len(left) or wanted + len(held) >= len(sizes):
            raise InputError(
                f"corpus: found {self.validation_families} families for validation and {self.test_families} for test; "
                f"allowed: together at most {min(len(left), len(sizes) - len(held) - 1)}, the families with at most "
                "5 % of the crystals"
            )
        drawn = np.random.default_rng(np.random.SeedSequence(self.draw)).permutation(left)[:wanted]
        of_family: dict[int, Split] = dict.fromkeys(held, "test")
        of_family |= {
            int(family): "test" if number < self.test_families else "validation" for number, family in enumerate(drawn)
        }
        return {name: of_family.get(family, "train") for name, family in families.items()}


def _rows(table: Path) -> list[dict[str, str]]:
    """Read the table; InputError if it is none of a corpus."""
    try:
        # Spreadsheets put a byte order mark before the first name.
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns, rows = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{table}: found no table that can be read ({type(error).__name__}); allowed: {_ALLOWED}"
        ) from error
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise InputError(f"{table}: found no column '{missing[0]}'; allowed: {_ALLOWED}")
    for number, row in enumerate(rows):
        if None in row or None in row.values() or not all(map(_is_count, (row["atoms"], row["family"]))):
            raise InputError(f"{table}: found a row {number + 1} with other columns or numbers; allowed: {_ALLOWED}")
        if row["reading"] not in READINGS:
            raise InputError(
                f"{table}: row {number + 1}: reading: found '{row['reading']}'; allowed: {', '.join(READINGS)}"
            )
        cif = Path(row["file"])
        if cif.is_absolute() or ".." in cif.parts or cif.suffix.lower() != ".cif":
            raise InputError(
                f"{table}: row {number + 1}: file: found '{row['file']}'; allowed: a .cif below the corpus's folder"
            )
        try:
            _all_paths(row)
        except InputError as error:
            raise InputError(f"{table}: row {number + 1}: {error}") from error
    file, count = Counter(row["file"] for row in rows).most_common(1)[0] if rows else ("", 0)
    if count > 1:
        raise InputError(f"{table}: found {file} in {count} rows; allowed: each file once")
    return rows


def _all_paths(row: Mapping[str, str]) -> list[BeamPath]:
    return [BeamPath.of(text) for text in row["zone_axes"].split("; ")] if row["zone_axes"] else []


def _is_count(text: str) -> bool:
    """Whether an entry is a whole number from 0, also written as 8.0, or empty."""
    try:
        return not text or (float(text) >= 0 and float(text).is_integer())
    except ValueError:
        return False
