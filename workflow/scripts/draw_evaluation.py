from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.microscope.optics import Microscope
from iphasenet.reporting.crystal_figures import draw_atomic_columns, draw_spectra
from iphasenet.reporting.evaluation_figures import draw_distribution, draw_potentials
from iphasenet.reporting.score_figures import draw_alterations, draw_errors, draw_scores


def outputs(name):
    raster = Path(snakemake.output[name])
    return [raster, raster.with_suffix(".svg")]


with stage("figures of the evaluation", snakemake.log[0], snakemake.output):
    table = {name: Path(snakemake.input[name]) for name in ("samples", "columns", "altered", "spectra", "summary")}
    microscope = Microscope(**snakemake.params.optics)
    draw_scores(table["samples"], outputs("scores"))
    draw_errors(table["summary"], outputs("errors"))
    draw_potentials(table["samples"], outputs("potentials"))
    draw_distribution(table["samples"], outputs("distribution"))
    draw_alterations(table["altered"], outputs("alterations"))
    draw_spectra(table["spectra"], outputs("spectra"), 2 * microscope.frequency(microscope.semiangle_mrad))
    draw_atomic_columns(table["columns"], table["summary"], outputs("atomic_columns"))
