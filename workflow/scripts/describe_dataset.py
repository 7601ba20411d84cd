from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.dataset.card import describe_dataset

output = snakemake.output

with stage("card of the data set", snakemake.log[0], snakemake.output):
    describe_dataset(Path(snakemake.input.dataset), Path(output.card), Path(output.croissant), Path(output.table))
