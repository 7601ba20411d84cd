rule predict_samples:
    input:
        dataset="<data>/dataset.zarr",
        weights="<trained>/model/weights.safetensors",
    output:
        predictions=directory("<run>/evaluation/predictions/{material}.zarr"),
        altered="<run>/evaluation/altered/{material}.parquet",
    log:
        "<run>/logs/predict_samples/{material}.log",
    benchmark:
        "<run>/benchmarks/predict_samples/{material}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: lookup(within=config, dpath="jobs/evaluation_threads")
    resources:
        mem_mb=raised(job_resources.evaluation_mb(config)),
        runtime=raised_minutes(
            job_resources.prediction_minutes(config), JOBS["simulation_gpus"]
        ),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["predictions"],
        turns=lookup(within=config, dpath="evaluation/turns"),
    message:
        "Predictions of {wildcards.material}"
    script:
        "../scripts/predict_samples.py"


rule fit_baselines:
    input:
        dataset="<data>/dataset.zarr",
    output:
        baselines="<run>/evaluation/baselines.npz",
    log:
        "<run>/logs/fit_baselines.log",
    benchmark:
        "<run>/benchmarks/fit_baselines.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=raised(4000),
        runtime=raised_minutes(job_resources.assembly_minutes(config, len(MATERIALS))),
    params:
        stage=STAGE_VERSIONS["evaluation"],
        leave_out=lookup(within=config, dpath="training/leave_out"),
    message:
        "Baselines, fitted to the training split"
    script:
        "../scripts/fit_baselines.py"


rule evaluate_samples:
    input:
        dataset="<data>/dataset.zarr",
        predictions="<run>/evaluation/predictions/{material}.zarr",
        potential="<data>/potential/{material}.npz",
        baselines="<trained>/evaluation/baselines.npz",
        # The nearest training sample is one of the baselines.
        training=training_dataset,
    output:
        tables=directory("<run>/evaluation/tables/{material}"),
    log:
        "<run>/logs/evaluate_samples/{material}.log",
    benchmark:
        "<run>/benchmarks/evaluate_samples/{material}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=raised(job_resources.evaluation_mb(config)),
        runtime=raised_minutes(job_resources.scoring_minutes(config)),
    params:
        stage=STAGE_VERSIONS["evaluation"],
    message:
        "Scores of {wildcards.material}"
    script:
        "../scripts/evaluate_samples.py"


rule summarise_scores:
    input:
        tables=expand("<run>/evaluation/tables/{material}", material=MATERIALS),
        altered=expand(
            "<run>/evaluation/altered/{material}.parquet", material=MATERIALS
        ),
    output:
        tables=expand(
            "<run>/evaluation/{table}.{ending}",
            table=(
                "samples",
                "columns",
                "spectra",
                "coverage",
                "materials",
                "altered",
            ),
            ending=("parquet", "csv"),
        ),
        summary="<run>/evaluation/summary.json",
    log:
        "<run>/logs/summarise_scores.log",
    benchmark:
        "<run>/benchmarks/summarise_scores.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["evaluation"],
        title=title,
    message:
        "Summary of the evaluation"
    script:
        "../scripts/summarise_scores.py"


rule compare_runs:
    input:
        scores=expand(
            "results/{compared}/evaluation/{file}",
            compared=[config["run"], *config.get("compare", [])],
            file=("samples.parquet", "summary.json"),
        ),
    output:
        table="<run>/evaluation/comparison.csv",
    log:
        "<run>/logs/compare_runs.log",
    benchmark:
        "<run>/benchmarks/compare_runs.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["evaluation"],
    message:
        "Runs beside each other"
    script:
        "../scripts/compare_runs.py"


rule compare_windows:
    input:
        potential="<data>/potential/{material}.npz",
    output:
        table="<run>/evaluation/windows/{material}.csv",
    log:
        "<run>/logs/compare_windows/{material}.log",
    benchmark:
        "<run>/benchmarks/compare_windows/{material}.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=raised(job_resources.simulation_mb(config)),
        runtime=raised_minutes(
            job_resources.windows_minutes(config), JOBS["simulation_gpus"]
        ),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["images"],
        tilt=test_tilt,
        factors=lookup(within=config, dpath="evaluation/window_factors"),
        thickness_nm=lookup(within=config, dpath="grid/thickness_nm"),
        optics=lookup(within=config, dpath="optics"),
        numerics=accuracy_settings(config),
    message:
        "Larger windows, {wildcards.material}"
    script:
        "../scripts/compare_windows.py"


rule describe_model:
    input:
        weights="<run>/model/weights.safetensors",
        summary="<run>/evaluation/summary.json",
    output:
        card="<run>/model/README.md",
        state="<run>/model/swinunetr.pt",
    log:
        "<run>/logs/describe_model.log",
    benchmark:
        "<run>/benchmarks/describe_model.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["model_card"],
        run=lookup(within=config, dpath="run"),
    message:
        "Card of the model"
    script:
        "../scripts/describe_model.py"
