from pathlib import Path

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.job_log import stage
from iphasenet.crystal.structure import crystal_cell
from iphasenet.field_test.fits import fit_specimen, save_fits
from iphasenet.field_test.plan import specimen_named
from iphasenet.field_test.recording import Recorder
from iphasenet.field_test.simulation import load_truths
from iphasenet.planning.field_settings import FieldTest

config, name = snakemake.config, snakemake.wildcards.specimen
crystal, temperature = snakemake.params.crystal, snakemake.params.temperature

with use_threads(1), stage(f"fits of {name}", snakemake.log[0], snakemake.output) as log:
    specimen = specimen_named(config, name)
    images = Recorder.of(config).images(specimen, load_truths(Path(snakemake.input.images)))
    cell = crystal_cell({**crystal, "cif": snakemake.input.cif}, temperature_k=temperature)
    fits = fit_specimen(
        specimen,
        images,
        cell,
        FieldTest(**config["field_test"]),
        choose_device(config["simulation"]["device"]),
        snakemake.threads,
        lambda image, found: log.info("%s: %s", image, found.refused or f"{found.told['seconds']:.0f} s"),
    )
    save_fits(Path(snakemake.output.fits), fits)
