from pathlib import Path

from iphasenet.base.files import write_table
from iphasenet.base.job_log import stage
from iphasenet.microscope_files.folder import find_images
from iphasenet.planning.run_cost import run_cost
from iphasenet.planning.run_jobs import run_jobs
from iphasenet.reporting.examples import read_examples
from iphasenet.reporting.page import Report, write_report
from iphasenet.reporting.viewer import ViewerSample, sample_title, sample_views


def viewer_sample(example):
    found = example.predictions
    views = sample_views(example.noisy, found["idpc"], found["model"], example.truth)
    return ViewerSample(
        sample_title(example.material, example.metadata, example.dose), example.sampling, views, "Prediction"
    )


inputs, params = snakemake.input, snakemake.params
figures = dict(zip(params.names, map(Path, inputs.figures), strict=True))
captions = dict(zip(params.names, map(Path, inputs.captions), strict=True))
for material, sheet in zip(params.materials, inputs.sheets, strict=True):
    figures[f"samples of {material}"] = Path(sheet)
    captions[f"samples of {material}"] = Path(inputs.sheet_caption)

with stage("report", snakemake.log[0], snakemake.output):
    # No parameter of the rule: one more image does not require a new report.
    images = find_images(snakemake.config["reconstruction"]["images"]) if "reconstruction" in snakemake.config else ()
    table = run_cost(Path(params.benchmarks), run_jobs(snakemake.config, params.materials, images))
    write_table(table, Path(snakemake.output.cost))
    cost = None if table.empty else Path(snakemake.output.cost)
    examples = read_examples(Path(inputs.dataset), [Path(path) for path in inputs.predictions], Path(inputs.baselines))
    report = Report(
        summary=Path(inputs.summary),
        samples=Path(inputs.samples),
        dataset=Path(inputs.dataset),
        figures=figures,
        captions=captions,
        configuration=params.configuration,
        viewer=[viewer_sample(example) for example in examples],
        generalisation=Path(inputs.comparison) if inputs.comparison else None,
        cost=cost,
    )
    write_report(report, Path(snakemake.output.html))
