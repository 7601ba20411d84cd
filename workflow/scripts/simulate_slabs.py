from iphasenet.devices import choose_device, use_threads
from iphasenet.numerics import Numerics
from iphasenet.optics import Microscope
from iphasenet.render import Image
from iphasenet.sampling import Grid, samples
from iphasenet.slab_samples import save_rendered, simulate_slabs
from iphasenet.stage import stage
from iphasenet.structure import crystal_cell

params, material, tilt = snakemake.params, snakemake.wildcards.material, int(snakemake.wildcards.tilt)
# Where and how the work is done changes no result: not a parameter, so that changing it reruns nothing.
config, settings = snakemake.config, snakemake.config["simulation"]

with use_threads(1), stage(f"slab of {material}, tilt {tilt}", snakemake.log[0], snakemake.output) as log:
    cell = crystal_cell({**params.crystal, "cif": snakemake.input.cif})
    every = samples(config["seed"], material, Grid(**config["grid"]))
    planned = [sample for sample in every if sample.orientation.index == tilt]
    device = choose_device(settings["device"])
    memory = settings["multislice"]["memory_mb"]
    rendered = simulate_slabs(
        planned,
        cell,
        Microscope(**params.optics),
        Numerics(params.sampling, params.slice_thickness, params.window, memory),
        Image(**params.image),
        params.parametrization,
        params.displacements,
        device,
    )
    save_rendered(snakemake.output.samples, list(rendered))
    log.info("%d samples on %s: %s", len(planned), device, planned[0].orientation.shape)
