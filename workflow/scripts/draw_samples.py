from pathlib import Path

from iphasenet.sheets import draw_samples
from iphasenet.stage import stage

with stage("figure of samples", snakemake.log[0], snakemake.output):
    draw_samples(Path(snakemake.input.dataset), [Path(snakemake.output.samples), Path(snakemake.output.vector)])
