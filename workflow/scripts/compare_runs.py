from pathlib import Path

from iphasenet.base.files import write_table
from iphasenet.base.job_log import stage
from iphasenet.evaluation.comparison import compare_runs

with stage("comparison of runs", snakemake.log[0], snakemake.output):
    folders = dict.fromkeys(Path(path).parent for path in snakemake.input.scores)
    write_table(compare_runs(list(folders)), Path(snakemake.output.table))
