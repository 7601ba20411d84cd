from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.evaluation.model_card import describe_model

inputs, output = snakemake.input, snakemake.output

with stage("card of the model", snakemake.log[0], snakemake.output):
    describe_model(
        Path(inputs.weights), Path(inputs.summary), Path(output.card), Path(output.state), snakemake.params.run
    )
