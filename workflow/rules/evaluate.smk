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
    message:
        "Evaluation on the test split"
    script:
        "../scripts/evaluate_model.py"
