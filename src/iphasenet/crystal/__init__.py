"""The crystal: from a CIF to an orthogonal cell, its atoms, its slices and its potential.

In: a CIF file. `cif` reads the crystal that fits all that the file says, and `structure.crystal_cell` turns the zone
axis along the beam; `thermal_motion` decides how its atoms move, `places` what partly occupied places hold. Out:
`potential.CrystalPotential` (Fourier coefficients of each slice), `slicing.Slicing`, and for crystals that end within
the image a slab of atoms (`slab.cut_slab`).
"""
