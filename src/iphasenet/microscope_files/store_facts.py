"""Report of what a store of this library holds, from its metadata and the names of its samples."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr

from iphasenet.base.quantities import IMAGE_SAMPLING, THICKNESS
from iphasenet.base.seals import KINDS, kind_of, open_store
from iphasenet.dataset.reader import material_groups, read_rows
from iphasenet.microscope_files.segmented_image import check_fields
from iphasenet.simulation.grid import SPLITS


def store_facts(path: Path) -> dict[str, Any]:
    """
    Open a store and list what it holds; no image is read.

    Parameters
    ----------
    path : path
        Store of `iphasenet simulate` or `render`, or of the workflow.

    Returns
    -------
    dict
        Plain values for JSON. `kind` ("simulation", of one crystal, or "dataset"), `holds` in words, `arrays` (shape by
        name), `sampling_angstrom` [y, x]; of a simulation its optics and what was simulated, named as those of an
        image; of a data set `samples` by material and split.

    Raises
    ------
    InputError
        If it is no store of this library, damaged, claims more than it holds, or holds a number out of range.
    """
    kind = kind_of(path) or "dataset"
    root = open_store(path, kind)
    facts = _facts(root, kind, path)
    _check(facts, str(path))
    return facts


def _facts(root: zarr.Group, kind: str, path: Path) -> dict[str, Any]:
    arrays = {name: list(array.shape) for name, array in root.members(max_depth=None) if isinstance(array, zarr.Array)}
    facts: dict[str, Any] = {
        "kind": "simulation" if kind in ("simulation", "sample") else "dataset",
        "holds": KINDS[kind],
        "arrays": dict(sorted(arrays.items())),
    }
    attributes: dict[str, Any] = dict(root.attrs)
    if kind == "simulation":
        return facts | _simulation(attributes) | _motion(attributes.get("temperature"), root)
    if kind == "sample":
        return facts | _position(root) | {name: attributes.get(name) for name in ("material", "sample_id")}
    groups = material_groups(root) if kind == "dataset" else {str(attributes.get("material", path.stem)): root}
    facts["samples"] = {name: _samples(group) for name, group in groups.items()}
    configured: Mapping[str, Any] = attributes.get("configuration") or {}
    temperature = (configured.get("simulation") or {}).get("temperature_k")
    first = next(iter(groups.values()), root)
    return facts | _position(first) | _optics(configured.get("optics") or {}) | _motion(temperature, None)


def _check(facts: Mapping[str, Any], source: str) -> None:
    """Refuse numbers of a store that are out of range for an image."""
    inner, outer = facts.get("detector_mrad") or (None, None)
    known = {"detector_inner_mrad": inner, "detector_outer_mrad": outer, "tilt_deg": facts.get("tilt_deg")}
    check_fields(known | {name: facts.get(name) for name in ("energy_kev", "semiangle_mrad", "rotation_deg")}, source)
    for quantity, name in ((IMAGE_SAMPLING, "sampling_angstrom"), (THICKNESS, "thickness_nm")):
        for value in facts.get(name) or ():
            quantity.check(value, f"{source}: {name}")


def _simulation(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Name the settings of a simulation like those of an image."""
    return {
        "structure": attributes["structure"],
        "zone_axis": attributes.get("zone_axis"),
        "thickness_nm": attributes["thickness"],
        "tilt_deg": attributes["tilt"],
        "rotation_deg": attributes["rotation"],
        "segments": attributes["segments"],
        "sampling_angstrom": [attributes["sampling"]] * 2,
        "energy_kev": attributes["energy"],
        "semiangle_mrad": attributes["semiangle"],
        "detector_mrad": attributes["detector"],
    }


def _motion(temperature_k: float | None, root: zarr.Group | None) -> dict[str, Any]:
    """Temperature [K], and the noise that thermal motion has left at each thickness; nothing of atoms at rest."""
    facts: dict[str, Any] = {"temperature_k": temperature_k} if temperature_k else {}
    if root is not None and "thermal_noise" in root:
        facts["thermal_noise"] = [round(float(noise), 4) for noise in read_rows(root, "thermal_noise")]
    return facts


def _position(group: zarr.Group) -> dict[str, Any]:
    """Pixel size of the images [Å], from the positions of the first two pixels."""
    places = [read_rows(group, name) for name in ("y", "x") if name in group]
    if len(places) < 2 or min(map(len, places)) < 2:
        return {"sampling_angstrom": None}
    return {"sampling_angstrom": [round(float(place[1] - place[0]), 9) for place in places]}


def _optics(optics: Mapping[str, Any]) -> dict[str, Any]:
    inner, outer = optics.get("detector_inner_mrad"), optics.get("detector_outer_mrad")
    known = {name: optics.get(name) for name in ("energy_kev", "semiangle_mrad")}
    return {**known, "detector_mrad": None if outer is None else [inner, outer]}


def _samples(group: zarr.Group) -> dict[str, int]:
    """Count samples by split, or all together if there are no splits."""
    if "split" not in group:
        sizes = [array.shape[0] for _, array in group.arrays() if array.shape]
        return {"all": max(sizes, default=0)}
    counts = Counter(SPLITS[int(number)] for number in read_rows(group, "split"))
    return {split: counts[split] for split in SPLITS}


def store_text(facts: Mapping[str, Any]) -> str:
    """Write the facts of a store for people."""
    lines = [f"{facts['kind']}: {facts['holds']}"]
    for name, counts in facts.get("samples", {}).items():
        lines.append(f"{name}: {', '.join(f'{count:,} {split}' for split, count in counts.items())} samples")
    for name, value in facts.items():
        if name not in ("file", "kind", "holds", "arrays", "samples") and value is not None:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{name}: {shown}")
    lines += [f"{name}: {' x '.join(map(str, shape))}" for name, shape in facts["arrays"].items() if len(shape) > 1]
    return "\n".join(lines)
