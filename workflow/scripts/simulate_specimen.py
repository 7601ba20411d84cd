from pathlib import Path

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.job_log import stage
from iphasenet.crystal.structure import crystal_cell
from iphasenet.field_test.plan import specimen_named
from iphasenet.field_test.simulation import FieldSimulator, save_truths

config, name = snakemake.config, snakemake.wildcards.specimen
crystal, temperature = snakemake.params.crystal, snakemake.params.temperature

with use_threads(1), stage(f"images of {name}", snakemake.log[0], snakemake.output) as log:
    specimen = specimen_named(config, name)
    cell = crystal_cell({**crystal, "cif": snakemake.input.cif}, temperature_k=temperature)
    truths = FieldSimulator.of(config, choose_device(config["simulation"]["device"])).simulate(specimen, cell)
    for image, truth in zip(specimen.images, truths, strict=True):
        log.info("%s: %s, %.2f nm", image.name, specimen.kind, truth.facts["thickness_nm"])
    save_truths(Path(snakemake.output.images), truths)
