import torch

from iphasenet.devices import choose_device
from iphasenet.images import Numerics, save_images, simulate_images
from iphasenet.optics import Microscope
from iphasenet.potential import LayerPotential
from iphasenet.sampling import Grid, orientations
from iphasenet.stage import stage

params, material = snakemake.params, snakemake.wildcards.material
torch.set_num_threads(snakemake.threads)

with stage(f"images of {material}, tilts {params.tilts}", snakemake.log[0]) as log:
    grid = Grid(**params.grid)
    planned = orientations(params.seed, material, grid)
    device = choose_device(params.device)
    images = []
    for index in params.tilts:
        images.append(
            simulate_images(
                LayerPotential.load(snakemake.input.layers),
                Microscope(**params.optics),
                Numerics(**params.multislice),
                [10 * thickness for thickness in grid.thickness_nm],
                planned[index].tilt,
                planned[index].rotations_deg,
                device,
            )
        )
        log.info("tilt %d done on %s", index, device)
    save_images(snakemake.output.images, images)
