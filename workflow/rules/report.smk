# A row is a rule: whether this run makes its figures, what they are drawn from, and each figure's title in Snakemake's
# report. Captions stand in workflow/report, a file a figure. The rows' order is the report's.
DRAWINGS = {
    "draw_samples": dict(
        message="Figure of samples",
        drawn_from=dict(dataset="<data>/dataset.zarr"),
        category="Data set",
        figures=dict(samples="Samples of every material"),
    ),
    "draw_predictions": dict(
        message="Figure of predictions",
        drawn_from=dict(
            dataset="<data>/dataset.zarr",
            predictions=of_materials("<run>/evaluation/predictions/{material}.zarr"),
            baselines="<trained>/evaluation/baselines.npz",
        ),
        category="Evaluation",
        figures=dict(predictions="Predictions on held-out tilts"),
    ),
    "draw_evaluation": dict(
        message="Figures of the evaluation",
        drawn_from=dict(
            samples="<run>/evaluation/samples.parquet",
            columns="<run>/evaluation/columns.parquet",
            altered="<run>/evaluation/altered.parquet",
            spectra="<run>/evaluation/spectra.parquet",
            summary="<run>/evaluation/summary.json",
        ),
        category="Evaluation",
        figures=dict(
            scores="Correlation by material",
            errors="Error by thickness and dose, with baselines",
            potentials="Mean and maximum potential",
            distribution="Distribution of errors",
            alterations="Metadata and noise",
            spectra="Power spectra",
            atomic_columns="Atomic columns",
        ),
        params=dict(optics=config["optics"]),
    ),
    "draw_calibration": dict(
        made=config["model"]["uncertainty"],
        message="Figure of the uncertainty",
        drawn_from=dict(coverage="<run>/evaluation/coverage.parquet"),
        category="Evaluation",
        figures=dict(calibration="Calibration of the uncertainty"),
    ),
    "draw_windows": dict(
        made=config["evaluation"]["window_factors"],
        message="Figure of windows",
        drawn_from=dict(tables=of_materials("<run>/evaluation/windows/{material}.csv")),
        category="Data set",
        figures=dict(windows="Window of the simulation"),
    ),
    "draw_loss": dict(
        made="trained" not in config,
        message="Loss curves",
        drawn_from=dict(history="<run>/model/history.csv"),
        category="Training",
        figures=dict(loss="Loss curves"),
    ),
}
FIGURES = [
    figure
    for drawing in DRAWINGS.values()
    for figure in drawing["figures"]
    if drawing.get("made", True)
]


for drawing_name, drawing in DRAWINGS.items():

    rule:
        name:
            drawing_name
        input:
            **drawing["drawn_from"],
        output:
            **{
                figure: report(
                    f"<run>/figures/{figure}.png",
                    caption=f"../report/{figure}.rst",
                    category=drawing["category"],
                    labels={"figure": title_of_figure},
                )
                for figure, title_of_figure in drawing["figures"].items()
            },
            vector=expand("<run>/figures/{figure}.svg", figure=drawing["figures"]),
        log:
            f"<run>/logs/{drawing_name}.log",
        benchmark:
            f"<run>/benchmarks/{drawing_name}.tsv"
        localrule: True
        conda:
            "../../envs/report.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            **drawing.get("params", {}),
            stage=STAGE_VERSIONS["report"],
        message:
            drawing["message"]
        script:
            "../scripts/draw_figures.py"


rule draw_material:
    input:
        store="<data>/materials/{material}.zarr",
    output:
        sheet=report(
            "<run>/figures/materials/{material}.png",
            caption="../report/material.rst",
            category="Data set",
            labels={"figure": "Thicknesses of {material}"},
        ),
    log:
        "<run>/logs/draw_material/{material}.log",
    benchmark:
        "<run>/benchmarks/draw_material/{material}.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Sheet of {wildcards.material}"
    script:
        "../scripts/draw_figures.py"


rule write_report:
    input:
        dataset="<data>/dataset.zarr",
        predictions=of_materials("<run>/evaluation/predictions/{material}.zarr"),
        baselines="<trained>/evaluation/baselines.npz",
        summary="<run>/evaluation/summary.json",
        samples="<run>/evaluation/samples.csv",
        figures=expand("<run>/figures/{figure}.png", figure=FIGURES),
        captions=expand("workflow/report/{figure}.rst", figure=FIGURES),
        sheets=of_materials("<run>/figures/materials/{material}.png"),
        sheet_caption="workflow/report/material.rst",
        comparison="<run>/evaluation/comparison.csv" if config.get("compare") else [],
    output:
        html=report(
            "<run>/report.html",
            caption="../report/workflow.rst",
            category="Report",
            labels={"figure": "Whole report"},
        ),
        cost="<run>/cost.csv",
    log:
        "<run>/logs/write_report.log",
    benchmark:
        "<run>/benchmarks/write_report.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
        names=FIGURES,
        materials=MATERIALS,
        configuration=config,
        # No input: they are there when the jobs are done, but for this rule's own.
        benchmarks=f"results/{config['run']}/benchmarks",
    message:
        "Report"
    script:
        "../scripts/write_report.py"
