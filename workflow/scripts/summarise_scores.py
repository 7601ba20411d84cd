from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.evaluation.summary import write_summary

with stage("summary", snakemake.log[0], snakemake.output):
    write_summary(
        [Path(path) for path in snakemake.input.tables],
        [Path(path) for path in snakemake.input.altered],
        Path(snakemake.output.summary).parent,
        snakemake.params.title,
    )
