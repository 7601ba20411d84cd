FIGURES = report_figures()


rule draw_samples:
    input:
        dataset="<data>/dataset.zarr",
    output:
        samples=report(
            "<run>/figures/samples.png",
            caption="../report/samples.rst",
            category="Data set",
            labels={"figure": "Samples of every material"},
        ),
        vector="<run>/figures/samples.svg",
    log:
        "<run>/logs/draw_samples.log",
    benchmark:
        "<run>/benchmarks/draw_samples.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Figure of samples"
    script:
        "../scripts/draw_samples.py"


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
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Sheet of {wildcards.material}"
    script:
        "../scripts/draw_material.py"


rule draw_predictions:
    input:
        dataset="<data>/dataset.zarr",
        predictions=expand(
            "<run>/evaluation/predictions/{material}.zarr", material=MATERIALS
        ),
        baselines="<trained>/evaluation/baselines.npz",
    output:
        predictions=report(
            "<run>/figures/predictions.png",
            caption="../report/predictions.rst",
            category="Evaluation",
            labels={"figure": "Predictions on held-out tilts"},
        ),
        vector="<run>/figures/predictions.svg",
    log:
        "<run>/logs/draw_predictions.log",
    benchmark:
        "<run>/benchmarks/draw_predictions.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Figure of predictions"
    script:
        "../scripts/draw_predictions.py"


rule draw_evaluation:
    input:
        samples="<run>/evaluation/samples.parquet",
        columns="<run>/evaluation/columns.parquet",
        altered="<run>/evaluation/altered.parquet",
        spectra="<run>/evaluation/spectra.parquet",
        summary="<run>/evaluation/summary.json",
    output:
        scores=report(
            "<run>/figures/scores.png",
            caption="../report/scores.rst",
            category="Evaluation",
            labels={"figure": "Correlation by material"},
        ),
        errors=report(
            "<run>/figures/errors.png",
            caption="../report/errors.rst",
            category="Evaluation",
            labels={"figure": "Error by thickness and dose, with baselines"},
        ),
        potentials=report(
            "<run>/figures/potentials.png",
            caption="../report/potentials.rst",
            category="Evaluation",
            labels={"figure": "Mean and maximum potential"},
        ),
        distribution=report(
            "<run>/figures/distribution.png",
            caption="../report/distribution.rst",
            category="Evaluation",
            labels={"figure": "Distribution of errors"},
        ),
        alterations=report(
            "<run>/figures/alterations.png",
            caption="../report/alterations.rst",
            category="Evaluation",
            labels={"figure": "Metadata and noise"},
        ),
        spectra=report(
            "<run>/figures/spectra.png",
            caption="../report/spectra.rst",
            category="Evaluation",
            labels={"figure": "Power spectra"},
        ),
        atomic_columns=report(
            "<run>/figures/atomic_columns.png",
            caption="../report/atomic_columns.rst",
            category="Evaluation",
            labels={"figure": "Atomic columns"},
        ),
        vector=expand("<run>/figures/{figure}.svg", figure=EVALUATION_FIGURES),
    log:
        "<run>/logs/draw_evaluation.log",
    benchmark:
        "<run>/benchmarks/draw_evaluation.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
        optics=lookup(within=config, dpath="optics"),
    message:
        "Figures of the evaluation"
    script:
        "../scripts/draw_evaluation.py"


rule draw_calibration:
    input:
        coverage="<run>/evaluation/coverage.parquet",
    output:
        calibration=report(
            "<run>/figures/calibration.png",
            caption="../report/calibration.rst",
            category="Evaluation",
            labels={"figure": "Calibration of the uncertainty"},
        ),
        vector="<run>/figures/calibration.svg",
    log:
        "<run>/logs/draw_calibration.log",
    benchmark:
        "<run>/benchmarks/draw_calibration.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Figure of the uncertainty"
    script:
        "../scripts/draw_calibration.py"


rule draw_windows:
    input:
        tables=expand("<run>/evaluation/windows/{material}.csv", material=MATERIALS),
    output:
        windows=report(
            "<run>/figures/windows.png",
            caption="../report/windows.rst",
            category="Data set",
            labels={"figure": "Window of the simulation"},
        ),
        vector="<run>/figures/windows.svg",
    log:
        "<run>/logs/draw_windows.log",
    benchmark:
        "<run>/benchmarks/draw_windows.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Figure of windows"
    script:
        "../scripts/draw_windows.py"


rule draw_loss:
    input:
        history="<run>/model/history.csv",
    output:
        loss=report(
            "<run>/figures/loss.png",
            caption="../report/loss.rst",
            category="Training",
            labels={"figure": "Loss curves"},
        ),
        vector="<run>/figures/loss.svg",
    log:
        "<run>/logs/draw_loss.log",
    benchmark:
        "<run>/benchmarks/draw_loss.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["report"],
    message:
        "Loss curves"
    script:
        "../scripts/draw_loss.py"


rule write_report:
    input:
        dataset="<data>/dataset.zarr",
        predictions=expand(
            "<run>/evaluation/predictions/{material}.zarr", material=MATERIALS
        ),
        baselines="<trained>/evaluation/baselines.npz",
        summary="<run>/evaluation/summary.json",
        samples="<run>/evaluation/samples.csv",
        figures=expand("<run>/figures/{figure}.png", figure=FIGURES),
        captions=expand("workflow/report/{figure}.rst", figure=FIGURES),
        sheets=expand("<run>/figures/materials/{material}.png", material=MATERIALS),
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
