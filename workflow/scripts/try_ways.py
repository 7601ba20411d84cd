from pathlib import Path

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.files import write_table
from iphasenet.base.job_log import stage
from iphasenet.field_test.fits import load_fits
from iphasenet.field_test.pictures import save_pictures
from iphasenet.field_test.plan import specimen_named
from iphasenet.field_test.recording import Recorder
from iphasenet.field_test.scores import score_specimen
from iphasenet.field_test.simulation import load_truths
from iphasenet.field_test.ways import Ways
from iphasenet.planning.field_settings import FieldTest

config, name, output = snakemake.config, snakemake.wildcards.specimen, snakemake.output

with use_threads(1), stage(f"ways of {name}", snakemake.log[0], output) as log:
    specimen, truths = specimen_named(config, name), load_truths(Path(snakemake.input.images))
    images, fits = Recorder.of(config).images(specimen, truths), load_fits(Path(snakemake.input.fits))
    ways = Ways.load(FieldTest(**config["field_test"]), choose_device(config["simulation"]["device"]))
    scores, pictures = score_specimen(specimen, truths, images, fits, ways)
    save_pictures(Path(output.pictures), pictures)
    write_table(scores, Path(output.scores))
    log.info("%d images, %d ways", len(images), scores["way"].nunique())
