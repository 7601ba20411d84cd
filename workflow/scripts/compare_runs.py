from pathlib import Path

from iphasenet.comparison import write_comparison
from iphasenet.stage import stage

with stage("comparison of runs", snakemake.log[0]):
    folders = dict.fromkeys(Path(path).parent for path in snakemake.input.scores)
    write_comparison(list(folders), Path(snakemake.output.table))
