"""Crystals of a corpus as materials of a configuration; those that are held out are left out of training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from iphasenet.corpus.selection import Corpus, CorpusCrystal, Split
from iphasenet.planning.materials import crystals, selected_materials


def with_corpus(config: Mapping[str, Any], folder: Path = Path()) -> tuple[dict[str, Any], dict[str, Split]]:
    """
    Add the crystals of a corpus to the materials, and those that are held out to `training.leave_out.materials`.

    Parameters
    ----------
    config : mapping
        Configuration whose form is right.
    folder : path
        Folder to which the paths in the configuration are relative.

    Returns
    -------
    config : dict
        The same configuration where it has no `corpus`.
    splits : dict
        Split of each crystal by the name of the material with its zone axis. Materials that are not in the corpus are
        trained on, unless `training.leave_out.materials` names them: those test.

    Raises
    ------
    InputError
        If the table is none of a corpus, no crystal is left, or families cannot be held out.
    """
    expanded, of_file = dict(config), dict[Path, Split]()
    if "corpus" in config:
        corpus = Corpus(**config["corpus"])
        taken = _named(corpus.crystals(folder), config["materials"], folder)
        splits = corpus.splits(taken)
        # Two materials may be cut from one file.
        of_file = {(folder / crystal.cif).resolve(): splits[crystal.name] for crystal in taken}
        added = {
            crystal.name: {"cif": crystal.cif.as_posix(), "zone_axes": [list(path.zone_axis) for path in crystal.paths]}
            for crystal in taken
            if crystal.name not in config["materials"]
        }
        expanded["materials"] = {**config["materials"], **added}
    left_out = config["training"].get("leave_out", {})
    found: dict[str, Split] = {}
    for name, material in crystals(expanded).items():
        split = of_file.get((folder / material["cif"]).resolve(), "train")
        found[name] = "test" if split == "train" and name in left_out.get("materials", []) else split
    if "corpus" in config:
        held = {name for name in selected_materials(expanded) if found[name] != "train"}
        every = sorted({*left_out.get("materials", []), *held})
        leave_out = {"thickness_nm": [], **left_out, "materials": every}
        expanded["training"] = {**config["training"], "leave_out": leave_out}
    return expanded, found


def _named(taken: Sequence[CorpusCrystal], given: Mapping[str, Any], folder: Path) -> list[CorpusCrystal]:
    """Crystals with names of their own; one that is a material already has its name."""
    names = {(folder / material["cif"]).resolve(): name for name, material in given.items()}
    used, named = set(given), []
    for crystal in taken:
        path = (folder / crystal.cif).resolve()
        number, name = 1, names.get(path, crystal.name)
        while path not in names and name in used:
            number, name = number + 1, f"{crystal.name}{number + 1}"
        used.add(name)
        named.append(replace(crystal, name=name))
    return named
