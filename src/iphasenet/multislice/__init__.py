"""Multislice of a periodic crystal, one Bloch wave vector after the other.

In: `crystal.potential.CrystalPotential`, `microscope.optics.Microscope`, `settings.Numerics`. Out:
`periodic_images.PeriodicImages`, Fourier series of each segment's image at every thickness and rotation. `propagation`
and `transfer_matrix` are two ways to the same scattering matrix, and `scattering_matrix` takes the cheaper one. Where
atoms move, `thermal_pass` carries each block through its own configuration of them (`displacements`, `displaced_cell`),
on the grid of the primitive lateral cell (`lattice_grid`), and `thermal_images` averages passes.
"""
