from pathlib import Path

from iphasenet.base.devices import use_threads
from iphasenet.base.job_log import stage
from iphasenet.evaluation.scores import evaluate_material

material, inputs = snakemake.wildcards.material, snakemake.input

with use_threads(1), stage(f"scores of {material}", snakemake.log[0], snakemake.output):
    evaluate_material(
        Path(inputs.dataset),
        material,
        Path(inputs.predictions),
        Path(inputs.potential),
        Path(inputs.baselines),
        Path(inputs.training),
    ).save(Path(snakemake.output.tables))
