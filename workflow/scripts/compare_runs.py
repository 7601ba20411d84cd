from pathlib import Path

from iphasenet.comparison import compare_runs
from iphasenet.files import write_table
from iphasenet.stage import stage

with stage("comparison of runs", snakemake.log[0], snakemake.output):
    folders = dict.fromkeys(Path(path).parent for path in snakemake.input.scores)
    write_table(compare_runs(list(folders)), Path(snakemake.output.table))
