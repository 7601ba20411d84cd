"""Images of one crystal on pixels, and the list of samples of a data set.

In: `multislice.periodic_images.PeriodicImages` and a `grid.Grid` of thicknesses, tilts and rotations. Out:
`rendering.Rendered`, images and projected potential of samples (`grid.samples`) on the pixels of an `image.Image`;
`noise.record` makes recorded images of them. `specimen.Simulator` does all of this for one specimen.
"""
