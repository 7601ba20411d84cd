from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.reporting.crystal_figures import draw_windows

with stage("figure of windows", snakemake.log[0], snakemake.output):
    tables = [Path(path) for path in snakemake.input.tables]
    draw_windows(tables, [Path(snakemake.output.windows), Path(snakemake.output.vector)])
