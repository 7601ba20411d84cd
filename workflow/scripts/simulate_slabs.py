from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.job_log import stage
from iphasenet.crystal.structure import crystal_cell
from iphasenet.multislice.numerics import Numerics
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, random_key, samples
from iphasenet.simulation.rendering import Image
from iphasenet.simulation.slabs import save_rendered, simulate_slabs

params, material, tilt = snakemake.params, snakemake.wildcards.material, int(snakemake.wildcards.tilt)
# Where and how the work is done changes no result: not a parameter, so that changing it reruns nothing.
config, settings = snakemake.config, snakemake.config["simulation"]

with use_threads(1), stage(f"slab of {material}, tilt {tilt}", snakemake.log[0], snakemake.output) as log:
    cell = crystal_cell({**params.crystal, "cif": snakemake.input.cif}, temperature_k=params.temperature)
    every = samples(config["seed"], material, Grid(**config["grid"]))
    planned = [sample for sample in every if sample.orientation.index == tilt]
    device = choose_device(settings["device"])
    rendered = simulate_slabs(
        planned,
        cell,
        PlannedOptics.of_job(params.optics, params.seed),
        Numerics(**params.numerics, memory_mb=settings["multislice"]["memory_mb"]),
        Image(**params.image),
        params.parametrization,
        device=device,
        seed=random_key(params.seed, material, "thermal", tilt),
        truth=params.truth,
        material=material,
    )
    save_rendered(snakemake.output.samples, list(rendered))
    log.info("%d samples on %s: %s", len(planned), device, planned[0].orientation.shape)
