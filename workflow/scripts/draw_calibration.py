from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.reporting.evaluation_figures import draw_calibration

with stage("figure of the uncertainty", snakemake.log[0], snakemake.output):
    draw_calibration(
        Path(snakemake.input.coverage), [Path(snakemake.output.calibration), Path(snakemake.output.vector)]
    )
