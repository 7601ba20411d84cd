from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.reporting.score_figures import draw_loss

with stage("figure of losses", snakemake.log[0], snakemake.output):
    draw_loss(Path(snakemake.input.history), [Path(snakemake.output.loss), Path(snakemake.output.vector)])
