from iphasenet.dataset import write_material
from iphasenet.images import load_images
from iphasenet.noise import FixedNoise
from iphasenet.potential import CrystalPotential
from iphasenet.render import Image, render_sample
from iphasenet.sampling import Grid, samples
from iphasenet.stage import stage

params, material = snakemake.params, snakemake.wildcards.material

with stage(f"samples of {material}", snakemake.log[0]) as log:
    image = Image(**params.image)
    potential = CrystalPotential.load(snakemake.input.potential)
    images = [series for path in snakemake.input.images for series in load_images(path)]
    planned = samples(params.seed, material, Grid(**params.grid))
    slicing = potential.slicing(params.slice_thickness)
    rendered = (
        render_sample(sample, images[sample.orientation.index], potential, slicing, image) for sample in planned
    )
    attributes = {"zone_axis": list(params.zone_axis)}
    write_material(
        snakemake.output.store,
        rendered,
        planned,
        image,
        FixedNoise(params.doses, params.readout_electrons),
        params.seed,
        material,
        attributes,
    )
    log.info("%d samples of %d x %d px", len(planned), image.pixels, image.pixels)
