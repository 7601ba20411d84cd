from pathlib import Path

from iphasenet.figures import draw_loss, draw_scores
from iphasenet.sheets import draw_predictions, draw_samples
from iphasenet.stage import stage


def outputs(name):
    raster = Path(snakemake.output[name])
    return [raster, raster.with_suffix(".svg")]


with stage("figures", snakemake.log[0]):
    dataset = Path(snakemake.input.dataset)
    draw_samples(dataset, outputs("samples"))
    draw_predictions(dataset, Path(snakemake.input.predictions), outputs("predictions"))
    draw_scores(Path(snakemake.input.samples), outputs("scores"))
    draw_loss(Path(snakemake.input.history), outputs("loss"))
