from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.reporting.image_figures import draw_samples

with stage("figure of samples", snakemake.log[0], snakemake.output):
    draw_samples(Path(snakemake.input.dataset), [Path(snakemake.output.samples), Path(snakemake.output.vector)])
