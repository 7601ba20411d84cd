from pathlib import Path

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.job_log import stage
from iphasenet.evaluation.predict_material import predict_material

material = snakemake.wildcards.material

with use_threads(snakemake.threads), stage(f"predictions of {material}", snakemake.log[0], snakemake.output):
    predict_material(
        Path(snakemake.input.dataset),
        material,
        Path(snakemake.input.weights),
        Path(snakemake.output.predictions),
        Path(snakemake.output.altered),
        choose_device(snakemake.config["simulation"]["device"]),
        snakemake.params.turns,
    )
