from pathlib import Path

from iphasenet.card import describe_dataset
from iphasenet.stage import stage

output = snakemake.output

with stage("card of the data set", snakemake.log[0], snakemake.output):
    describe_dataset(Path(snakemake.input.dataset), Path(output.card), Path(output.croissant), Path(output.table))
