"""Crystals of a corpus as materials of a configuration; those that are held out are left out of training."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from iphasenet.corpus.selection import Corpus, CorpusCrystal, Split


def with_corpus(config: Mapping[str, Any], folder: Path = Path()) -> dict[str, Any]:
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
    dict
        The same configuration where it has no `corpus`.

    Raises
    ------
    InputError
        If the table is none of a corpus, no crystal is left, or families cannot be held out.
    """
    if "corpus" not in config:
        return dict(config)
    crystals, splits = _crystals_and_splits(config, folder)
    axes = {crystal.name: [list(path.zone_axis) for path in crystal.paths] for crystal in crystals}
    added = {
        crystal.name: {"cif": crystal.cif.as_posix(), "zone_axes": axes[crystal.name]}
        for crystal in crystals
        if crystal.name not in config["materials"]
    }
    materials = {**config["materials"], **added}
    left_out = config["training"].get("leave_out", {})
    held = axis_names(materials, [name for name, split in splits.items() if split != "train"])
    if "select" in config:
        held = [name for name in held if {name, name.split("_")[0]} & set(config["select"])]
    every = sorted({*left_out.get("materials", []), *held})
    training = {**config["training"], "leave_out": {"thickness_nm": [], **left_out, "materials": every}}
    return {**config, "materials": materials, "training": training}


def corpus_splits(config: Mapping[str, Any], folder: Path = Path()) -> dict[str, Split]:
    """
    Split of each crystal of a corpus.

    Parameters
    ----------
    config, folder
        As in `with_corpus`.

    Returns
    -------
    dict
        Split by the name of the material with its zone axis. Materials that are not in the corpus are trained on,
        unless `training.leave_out.materials` names them: those test.
    """
    crystals, splits = _crystals_and_splits(config, folder) if "corpus" in config else ([], {})
    # Two materials may be cut from one file.
    of_file = {(folder / crystal.cif).resolve(): splits[crystal.name] for crystal in crystals}
    left_out = set(config["training"].get("leave_out", {}).get("materials", []))
    found: dict[str, Split] = {}
    for name in config["materials"]:
        for axis in axis_names(config["materials"], [name]):
            split = of_file.get((folder / config["materials"][name]["cif"]).resolve(), "train")
            found[axis] = "test" if split == "train" and axis in left_out else split
    return found


def _crystals_and_splits(config: Mapping[str, Any], folder: Path) -> tuple[list[CorpusCrystal], dict[str, Split]]:
    """Crystals of the corpus, and the split of each; one that is a material already has its name."""
    corpus = Corpus(**config["corpus"])
    given = {(folder / material["cif"]).resolve(): name for name, material in config["materials"].items()}
    taken, crystals = set(config["materials"]), []
    for crystal in corpus.crystals(folder):
        path = (folder / crystal.cif).resolve()
        number, name = 1, given.get(path, crystal.name)
        while path not in given and name in taken:
            number, name = number + 1, f"{crystal.name}{number + 1}"
        taken.add(name)
        crystals.append(replace(crystal, name=name))
    return crystals, corpus.splits(crystals)


def axis_names(materials: Mapping[str, Any], chosen: list[str]) -> list[str]:
    """Names of all zone axes of some materials: GaN where it has one, else GaN_100, GaN_1-10 and so on."""
    return [
        f"{name}_{''.join(map(str, axis))}" if axis else name
        for name in chosen
        for axis in materials[name].get("zone_axes", [None])
    ]
