"""What nobody can measure at the microscope, found by fitting a known crystal to its images.

In: four segments' images and a crystal structure. Out: tilt, rotation, thickness, offset and defocus with standard
errors, how well the crystal explains the images, and its projected potential on their pixels. The images enter as
their Fourier coefficients at the lattice's points (`harmonics`), the crystal as a simulation with moving atoms whose
displacements stay the same while its parameters change (`crystal_model`).
"""
