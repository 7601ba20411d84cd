from pathlib import Path

from iphasenet.devices import choose_device, use_threads
from iphasenet.evaluate import evaluate
from iphasenet.stage import stage

with use_threads(snakemake.threads), stage("evaluation", snakemake.log[0]):
    evaluate(
        Path(snakemake.input.dataset),
        Path(snakemake.input.weights),
        Path(snakemake.output.predictions),
        Path(snakemake.output.samples),
        Path(snakemake.output.summary),
        choose_device(snakemake.config["simulation"]["device"]),
        snakemake.params.turns,
    )
