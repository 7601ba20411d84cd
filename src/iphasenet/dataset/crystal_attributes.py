"""What a material's group in the data set says of its crystal."""

from typing import Any

from ase import Atoms

from iphasenet.crystal.identity import structure_hash
from iphasenet.crystal.thermal_motion import mean_displacements
from iphasenet.dataset.writer import STRUCTURE, TEMPERATURE, THERMAL_MOTION


def crystal_attributes(cell: Atoms, temperature_k: float) -> dict[str, Any]:
    """
    Attributes of a material's group.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell of the crystal (`iphasenet.crystal.structure.crystal_cell`).
    temperature_k : float
        Temperature at which its atoms move [K]; 0 means atoms at rest.

    Returns
    -------
    dict
        Hash of the structure. If atoms move, also the temperature and, for each element, the rms displacement along one
        axis and where it comes from: U_ij, B_ij, U_iso or B_iso of the CIF, the configuration, or an estimate.
    """
    attributes: dict[str, Any] = {STRUCTURE: structure_hash(cell)}
    if temperature_k > 0:
        attributes[TEMPERATURE] = temperature_k
        attributes[THERMAL_MOTION] = {
            element: {"rms_displacement_angstrom": round(u, 4), "from": cell.info["displacements_from"][element]}
            for element, u in mean_displacements(cell).items()
        }
    return attributes
