FIGURES = ("samples", "predictions", "scores", "loss")


rule draw_figures:
    input:
        dataset="<run>/dataset.zarr",
        predictions="<run>/evaluation/predictions.zarr",
        samples="<run>/evaluation/samples.csv",
        history="<run>/model/history.csv",
    output:
        samples=report(
            "<run>/figures/samples.png",
            caption="../report/samples.rst",
            category="Data set",
            labels={"figure": "Samples of every material"},
        ),
        predictions=report(
            "<run>/figures/predictions.png",
            caption="../report/predictions.rst",
            category="Evaluation",
            labels={"figure": "Predictions on held-out tilts"},
        ),
        scores=report(
            "<run>/figures/scores.png",
            caption="../report/scores.rst",
            category="Evaluation",
            labels={"figure": "Correlation by material and thickness"},
        ),
        loss=report(
            "<run>/figures/loss.png",
            caption="../report/loss.rst",
            category="Training",
            labels={"figure": "Loss curves"},
        ),
        vector=expand("<run>/figures/{figure}.svg", figure=FIGURES),
    log:
        "<run>/logs/draw_figures.log",
    benchmark:
        "<run>/benchmarks/draw_figures.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Figures"
    script:
        "../scripts/draw_figures.py"


rule draw_material:
    input:
        store="<run>/materials/{material}.zarr",
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
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Sheet of {wildcards.material}"
    script:
        "../scripts/draw_material.py"


rule write_report:
    input:
        dataset="<run>/dataset.zarr",
        summary="<run>/evaluation/summary.json",
        samples="<run>/evaluation/samples.csv",
        figures=expand("<run>/figures/{figure}.png", figure=FIGURES),
        captions=expand("workflow/report/{figure}.rst", figure=FIGURES),
        sheets=expand("<run>/figures/materials/{material}.png", material=MATERIALS),
        sheet_caption="workflow/report/material.rst",
    output:
        html=report(
            "<run>/report.html",
            caption="../report/workflow.rst",
            category="Report",
            labels={"figure": "Whole report"},
        ),
    log:
        "<run>/logs/write_report.log",
    benchmark:
        "<run>/benchmarks/write_report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        stage=STAGE_VERSIONS["report"],
        names=FIGURES,
        materials=MATERIALS,
        configuration=config,
    message:
        "Report"
    script:
        "../scripts/write_report.py"
