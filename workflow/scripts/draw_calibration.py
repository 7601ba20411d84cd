from pathlib import Path

from iphasenet.evaluation_figures import draw_calibration
from iphasenet.stage import stage

with stage("figure of the uncertainty", snakemake.log[0], snakemake.output):
    draw_calibration(
        Path(snakemake.input.coverage), [Path(snakemake.output.calibration), Path(snakemake.output.vector)]
    )
