"""CIFs of the prototypes that pymatgen ships (MIT licence), which made resources/crystals/prototypes.

python -m benchmarks.prototype_cifs aflow_prototypes.json.gz FOLDER

The first argument is pymatgen/analysis/prototypes/aflow_prototypes.json.gz of pymatgen 2026.10.24. Cells are the
conventional ones of spglib, with all atoms listed.
"""

import gzip
import json
import re
import sys
from collections import Counter
from math import gcd
from pathlib import Path

import numpy as np
import spglib
from ase import Atoms
from ase.data import chemical_symbols

from iphasenet.crystal.cif_claims import hill

HEAD = """# Prototype {label}{mineral} of the AFLOW library (Mehl et al., Comput. Mater. Sci. 136, S1, 2017), as in
# pymatgen 2026.10.24 (MIT licence); conventional cell, all atoms listed.
data_{name}
_chemical_formula_sum '{formula}'
_cell_formula_units_Z {units}
"""


def read_prototype(entry: dict) -> Atoms:
    """Conventional cell of an entry."""
    structure = entry["snl"]
    symbols = [site["species"][0]["element"] for site in structure["sites"]]
    assert all(len(site["species"]) == 1 and site["species"][0]["occu"] == 1 for site in structure["sites"])
    numbers = [chemical_symbols.index(symbol) for symbol in symbols]
    cell = (structure["lattice"]["matrix"], [site["abc"] for site in structure["sites"]], numbers)
    lattice, places, kinds = spglib.standardize_cell(cell, symprec=1e-3)
    return Atoms(kinds, cell=lattice, scaled_positions=places, pbc=True)


def write_cif(entry: dict, path: Path) -> None:
    """Write an entry as CIF."""
    atoms, tags = read_prototype(entry), entry["tags"]
    counts = Counter(atoms.get_chemical_symbols())
    units = gcd(*counts.values())
    formula = re.sub(r"([A-Z][a-z]?)", r" \1", hill({key: count / units for key, count in counts.items()})).strip()
    mineral = f", {tags['mineral']}," if tags["mineral"] else ""
    lines = [HEAD.format(label=tags["aflow"], mineral=mineral, name=path.stem, formula=formula, units=units).rstrip()]
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{name} {value:.6f}" for name, value in zip(names, atoms.cell.cellpar(), strict=True)]
    lines += ["_space_group_name_H-M_alt 'P 1'", "loop_"]
    lines += [f"_atom_site_{name}" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")]
    for number, (symbol, place) in enumerate(zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)):
        x, y, z = np.round(place, 7) % 1
        lines.append(f"{symbol}{number + 1} {symbol} {x:.7f} {y:.7f} {z:.7f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Write one CIF for each prototype, named by its formula and label."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for entry in json.loads(gzip.decompress(source.read_bytes())):
        counts = Counter(site["species"][0]["element"] for site in entry["snl"]["sites"])
        units = gcd(*counts.values())
        formula = hill({symbol: count / units for symbol, count in counts.items()})
        write_cif(entry, folder / f"{formula}_{entry['tags']['aflow']}.cif")


if __name__ == "__main__":
    main()
