"""Facts that were read from a crystal's file, for people and programs; nothing is simulated."""

import math
import warnings
from pathlib import Path
from typing import Any

from ase import Atoms

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.base.quantities import ROUNDING_STRAIN
from iphasenet.crystal.cif import Crystal, read_crystal
from iphasenet.crystal.cif_claims import density, hill
from iphasenet.crystal.cif_displacements import MEASURED_AT
from iphasenet.crystal.orbits import counts_of
from iphasenet.crystal.structure import orthogonal_cell, shortest_distance
from iphasenet.crystal.thermal_motion import ESTIMATED, SiteMotion, thermal_motion

ZONE_AXES = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1))
"""Zone axes for which the orthogonal cell is shown."""


def crystal_facts(path: Path, block: str | None = None) -> dict[str, Any]:
    """
    Read a crystal's file and list what it holds.

    Parameters
    ----------
    path : Path
        CIF.
    block : str, optional
        Name of its block, where several hold atoms.

    Returns
    -------
    dict
        Plain values for JSON; None where the file says nothing. ``kind``, ``block``, ``formula`` (of the cell, in
        Hill's order), ``formula_of_the_file``, ``formula_units``, ``atoms``, ``cell`` (three lengths [Å], three
        angles [degrees]), ``density_g_cm3``, ``density_of_the_file_g_cm3``, ``space_group``,
        ``space_group_number``, ``operations``, ``operations_from``, ``displacements_at_k`` (temperature of the
        file's displacements), ``sites`` (``label``, ``element``, ``multiplicity``, ``occupancy``, ``u_iso_angstrom2``
        (a third of the tensor's trace at 293 K), ``rms_angstrom`` (along the three principal axes), ``u_from``,
        ``position``), ``shortest_distance``
        (``angstrom``, ``elements``), ``orthogonal_cells`` (``zone_axis``, ``lengths_angstrom``, ``atoms``,
        ``strain_percent``, or ``refused``), ``warnings``.

    Raises
    ------
    InputError
        If the file cannot be read as one crystal.
    """
    crystal = read_crystal(path, block)
    motions, notes = _motions(crystal)
    atoms, counts = crystal.atoms(), counts_of(crystal.orbits)
    setting, claims = crystal.reading.group.setting, crystal.claims
    return {
        "kind": "crystal",
        "block": crystal.block,
        "formula": hill(counts),
        "formula_of_the_file": claims.text or None,
        "formula_units": _known(claims.units),
        "atoms": len(atoms),
        "cell": [round(float(value), 6) for value in atoms.cell.cellpar()],
        "density_g_cm3": round(density(counts, atoms.get_volume()), 4),
        "density_of_the_file_g_cm3": _known(claims.density),
        "space_group": crystal.reading.group.name,
        "space_group_number": setting.number if setting else None,
        "operations": len(crystal.reading.group),
        "operations_from": crystal.reading.source,
        "displacements_at_k": crystal.measured_at,
        "sites": _sites(crystal, motions),
        "shortest_distance": _shortest(atoms),
        "orthogonal_cells": [_orthogonal(atoms, axis) for axis in ZONE_AXES],
        "warnings": [*crystal.warnings, *notes],
    }


def crystal_text(facts: dict[str, Any]) -> str:
    """
    Write the facts of a crystal for people.

    Parameters
    ----------
    facts : dict
        Facts from `crystal_facts`.

    Returns
    -------
    str
        Lines without the warnings, which go to stderr.
    """
    told = facts["density_of_the_file_g_cm3"]
    units, formula = facts["formula_units"], facts["formula_of_the_file"]
    number = "" if facts["space_group_number"] is None else f", number {facts['space_group_number']}"
    distance = facts["shortest_distance"]
    lines = [
        f"crystal {facts['formula']}, {facts['atoms']} atoms in the cell (block {facts['block']})",
        f"formula of the file: {formula or 'none'}" + ("" if units is None else f", Z = {units:g}"),
        "cell: {:g} x {:g} x {:g} Å, {:g}, {:g}, {:g} degrees".format(*facts["cell"]),
        f"density: {facts['density_g_cm3']:.3f} g/cm³" + ("" if told is None else f", of the file {told:g} g/cm³"),
        f"space group: {facts['space_group']}{number}",
        f"{facts['operations']} operations from {facts['operations_from']}",
        f"shortest distance: {distance['angstrom']:.3f} Å, {'-'.join(distance['elements'])}",
        "sites: label, element, multiplicity, occupancy, U at 293 K [Å²] and its source, position",
    ]
    if any(site["u_from"] not in (None, ESTIMATED) for site in facts["sites"]):
        lines[-1:-1] = [f"displacements of the file: measured at {facts['displacements_at_k']:g} K"]
    for site in facts["sites"]:
        u = "-" if site["u_from"] is None else f"{site['u_iso_angstrom2']:.4f} {site['u_from']}"
        place = " ".join(f"{value:.5f}" for value in site["position"])
        lines.append(
            f"  {site['label']:8} {site['element']:2} {site['multiplicity']:4} {site['occupancy']:g} {u:15}  {place}"
        )
    lines.append("orthogonal cells, beam along the third side:")
    for cell in facts["orthogonal_cells"]:
        axis = f"[{' '.join(map(str, cell['zone_axis']))}]"
        if "refused" in cell:
            lines.append(f"  {axis}  none: {cell['refused']}")
        else:
            lengths = " x ".join(f"{value:.3f}" for value in cell["lengths_angstrom"])
            strain = f", strain {cell['strain_percent']:.2g} %" if cell["strain_percent"] > ROUNDING_STRAIN else ""
            lines.append(f"  {axis}  {lengths} Å, {cell['atoms']} atoms{strain}")
    return "\n".join(lines)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _motions(crystal: Crystal) -> tuple[tuple[SiteMotion | None, ...], tuple[str, ...]]:
    """Thermal motion of each site, which a crystal at rest does not need: what forbids it is a warning."""
    try:
        return thermal_motion(crystal, MEASURED_AT)
    except InputError as error:
        only = f"{str(error).removeprefix(f'{crystal.path}: ')}; the crystal can be used at rest only"
        return (None,) * len(crystal.orbits), (only,)


def _sites(crystal: Crystal, motions: tuple[SiteMotion | None, ...]) -> list[dict[str, Any]]:
    return [
        {
            "label": orbit.site.label,
            "element": orbit.site.element,
            "multiplicity": len(orbit.positions),
            "occupancy": round(orbit.site.occupancy, 6),
            "u_iso_angstrom2": motion and round(motion.equivalent, 6),
            "rms_angstrom": motion and [round(float(u), 4) for u in motion.principal],
            "u_from": motion and motion.source,
            "position": [round(float(value), 6) for value in orbit.positions[0]],
        }
        for orbit, motion in zip(crystal.orbits, motions, strict=True)
    ]


def _shortest(atoms: Atoms) -> dict[str, Any]:
    distance, i, j = shortest_distance(atoms)
    return {"angstrom": round(distance, 4), "elements": sorted([str(atoms.symbols[i]), str(atoms.symbols[j])])}


def _orthogonal(atoms: Atoms, axis: tuple[int, int, int]) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # The strain is one of the facts.
            warnings.simplefilter("ignore", InputWarning)
            cell = orthogonal_cell(atoms, axis)
    except InputError as error:
        return {"zone_axis": list(axis), "refused": str(error).removeprefix("structure: ")}
    lengths = [round(float(value), 6) for value in cell.cell.lengths()]
    strain = round(cell.info["strain_percent"], 4)
    return {"zone_axis": list(axis), "lengths_angstrom": lengths, "atoms": len(cell), "strain_percent": strain}
