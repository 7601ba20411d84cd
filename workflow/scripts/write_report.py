from pathlib import Path

from iphasenet.report import write_report
from iphasenet.stage import stage


def by_name(paths):
    return {name: Path(path) for name, path in zip(snakemake.params.names, paths, strict=True)}


with stage("report", snakemake.log[0]):
    write_report(
        Path(snakemake.output.html),
        Path(snakemake.input.summary),
        Path(snakemake.input.samples),
        by_name(snakemake.input.figures),
        by_name(snakemake.input.captions),
        snakemake.params.configuration,
        Path(snakemake.input.dataset),
    )
