from pathlib import Path

from iphasenet.figures import draw_loss
from iphasenet.stage import stage

with stage("figure of losses", snakemake.log[0], snakemake.output):
    draw_loss(Path(snakemake.input.history), [Path(snakemake.output.loss), Path(snakemake.output.vector)])
