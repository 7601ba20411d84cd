"""Multislice of a periodic crystal, one Bloch wave vector after the other.

In: `crystal.potential.CrystalPotential`, `microscope.optics.Microscope`, `settings.Numerics`. Out:
`periodic_images.PeriodicImages`, Fourier series of each segment's image at every thickness and rotation. `propagation`
and `transfer_matrix` are two ways to the same scattering matrix, and `scattering_matrix` takes the cheaper one.
"""
