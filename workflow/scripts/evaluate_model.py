from pathlib import Path

import torch

from iphasenet.devices import choose_device
from iphasenet.evaluate import evaluate
from iphasenet.stage import stage

torch.set_num_threads(snakemake.threads)

with stage("evaluation", snakemake.log[0]):
    evaluate(
        Path(snakemake.input.dataset),
        Path(snakemake.input.weights),
        Path(snakemake.output.predictions),
        Path(snakemake.output.samples),
        Path(snakemake.output.summary),
        choose_device(snakemake.config["simulation"]["device"]),
    )
