rule evaluate_model:
    input:
        dataset="<run>/dataset.zarr",
        weights="<run>/model/weights.safetensors",
    output:
        predictions=directory("<run>/evaluation/predictions.zarr"),
        samples="<run>/evaluation/samples.csv",
        summary="<run>/evaluation/summary.json",
    log:
        "<run>/logs/evaluate_model.log",
    benchmark:
        "<run>/benchmarks/evaluate_model.tsv"
    conda:
        "../../envs/train.yaml"
    threads: lookup(within=config, dpath="jobs/training_threads")
    resources:
        mem_mb=lookup(within=config, dpath="jobs/training_mem_mb"),
        runtime=240,
        gpu=lookup(within=config, dpath="jobs/simulation_gpus"),
    params:
        stage=STAGE_VERSIONS["evaluation"],
        turns=lookup(within=config, dpath="evaluation/turns"),
    message:
        "Evaluation on the test split"
    script:
        "../scripts/evaluate_model.py"


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
