"""Draw the figures that a rule names as its outputs, each as .png and, where the rule has `vector`, as .svg."""

from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.microscope.optics import Microscope
from iphasenet.reporting.crystal_figures import draw_atomic_columns, draw_spectra, draw_windows
from iphasenet.reporting.evaluation_figures import draw_calibration, draw_distribution, draw_potentials
from iphasenet.reporting.examples import read_examples
from iphasenet.reporting.image_figures import draw_material, draw_predictions, draw_samples
from iphasenet.reporting.score_figures import draw_alterations, draw_errors, draw_loss, draw_scores

inputs = {name: Path(path) for name, path in snakemake.input.items() if isinstance(path, str)}


def several(name):
    """Files of an input of all materials."""
    return [Path(path) for path in snakemake.input[name]]


def predictions(outputs):
    draw_predictions(list(read_examples(inputs["dataset"], several("predictions"), inputs["baselines"])), outputs)


def spectra(outputs):
    microscope = Microscope(**snakemake.params.optics)
    draw_spectra(inputs["spectra"], outputs, 2 * microscope.frequency(microscope.semiangle_mrad))


DRAW = {
    "samples": lambda outputs: draw_samples(inputs["dataset"], outputs),
    "sheet": lambda outputs: draw_material(inputs["store"], outputs),
    "predictions": predictions,
    "scores": lambda outputs: draw_scores(inputs["samples"], outputs),
    "errors": lambda outputs: draw_errors(inputs["summary"], outputs),
    "potentials": lambda outputs: draw_potentials(inputs["samples"], outputs),
    "distribution": lambda outputs: draw_distribution(inputs["samples"], outputs),
    "alterations": lambda outputs: draw_alterations(inputs["altered"], outputs),
    "spectra": spectra,
    "atomic_columns": lambda outputs: draw_atomic_columns(inputs["columns"], inputs["summary"], outputs),
    "calibration": lambda outputs: draw_calibration(inputs["coverage"], outputs),
    "windows": lambda outputs: draw_windows(several("tables"), outputs),
    "loss": lambda outputs: draw_loss(inputs["history"], outputs),
}

with stage("figures", snakemake.log[0], snakemake.output):
    for name, path in snakemake.output.items():
        if name != "vector":
            vector = [Path(path).with_suffix(".svg")] if hasattr(snakemake.output, "vector") else []
            DRAW[name]([Path(path), *vector])
