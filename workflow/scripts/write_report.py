from pathlib import Path

from iphasenet.report import write_report
from iphasenet.stage import stage

inputs, params = snakemake.input, snakemake.params
figures = dict(zip(params.names, map(Path, inputs.figures), strict=True))
captions = dict(zip(params.names, map(Path, inputs.captions), strict=True))
for material, sheet in zip(params.materials, inputs.sheets, strict=True):
    figures[f"samples of {material}"] = Path(sheet)
    captions[f"samples of {material}"] = Path(inputs.sheet_caption)

with stage("report", snakemake.log[0]):
    write_report(
        Path(snakemake.output.html),
        Path(inputs.summary),
        Path(inputs.samples),
        figures,
        captions,
        params.configuration,
        Path(inputs.dataset),
    )
