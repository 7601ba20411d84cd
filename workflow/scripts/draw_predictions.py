from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.reporting.examples import read_examples
from iphasenet.reporting.image_figures import draw_predictions

inputs, outputs = snakemake.input, snakemake.output

with stage("figure of predictions", snakemake.log[0], snakemake.output):
    examples = read_examples(Path(inputs.dataset), [Path(path) for path in inputs.predictions], Path(inputs.baselines))
    draw_predictions(list(examples), [Path(outputs.predictions), Path(outputs.vector)])
