from pathlib import Path

from iphasenet.model_card import describe_model
from iphasenet.stage import stage

inputs, output = snakemake.input, snakemake.output

with stage("card of the model", snakemake.log[0], snakemake.output):
    describe_model(
        Path(inputs.weights), Path(inputs.summary), Path(output.card), Path(output.state), snakemake.params.run
    )
