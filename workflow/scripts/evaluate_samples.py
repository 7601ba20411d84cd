from pathlib import Path

from iphasenet.devices import use_threads
from iphasenet.evaluate import evaluate_material
from iphasenet.stage import stage

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
