from iphasenet.base.devices import use_threads
from iphasenet.base.job_log import stage
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.structure import crystal_cell
from iphasenet.dataset.crystal_attributes import crystal_attributes
from iphasenet.dataset.writer import write_material
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.multislice.periodic_images import load_images
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, samples
from iphasenet.simulation.rendering import Image, render_sample
from iphasenet.simulation.slabs import load_rendered
from iphasenet.simulation.truth import truth_potential

params, material = snakemake.params, snakemake.wildcards.material

with use_threads(1), stage(f"samples of {material}", snakemake.log[0], snakemake.output) as log:
    image = Image(**params.image)
    cell = crystal_cell({**params.crystal, "cif": snakemake.input.cif}, temperature_k=params.temperature)
    potential = truth_potential(CrystalPotential.load(snakemake.input.potential), params.truth)
    slicing = potential.slicing(params.slice_thickness)
    planned = samples(params.seed, material, Grid(**params.grid))
    periodic = [s.orientation.index for s in planned if s.orientation.is_periodic]
    series = [series for path in snakemake.input.images for series in load_images(path)]
    images = dict(zip(sorted(set(periodic)), series, strict=True))
    slabs = iter([sample for path in snakemake.input.slabs for sample in load_rendered(path)])
    # Optics that are the same for all samples are the data set's, not the samples'.
    optics = PlannedOptics.of_job(params.optics, params.seed) if params.get("optics") else None
    rendered = (
        render_sample(
            sample,
            images[sample.orientation.index],
            potential,
            slicing,
            image,
            optics.recorded(material, sample) if optics else {},
        )
        if sample.orientation.is_periodic
        else next(slabs)
        for sample in planned
    )
    write_material(
        snakemake.output.store,
        rendered,
        planned,
        image,
        FixedNoise(params.doses, Acquisition(**params.acquisition)),
        params.seed,
        material,
        {"zone_axis": list(params.crystal["zone_axis"]), **crystal_attributes(cell, params.temperature)},
    )
    log.info("%d samples of %d x %d px", len(planned), image.pixels, image.pixels)
