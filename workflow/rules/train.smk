rule train_model:
    input:
        dataset="<run>/dataset.zarr",
        simulations=training_simulations,
    output:
        weights="<run>/model/weights.safetensors",
        history="<run>/model/history.csv",
    log:
        "<run>/logs/train_model.log",
    benchmark:
        "<run>/benchmarks/train_model.tsv"
    conda:
        "../../envs/train.yaml"
    threads: lookup(within=config, dpath="jobs/training_threads")
    resources:
        mem_mb=lookup(within=config, dpath="jobs/training_mem_mb"),
        runtime=lookup(within=config, dpath="jobs/training_minutes"),
        gpu=lookup(within=config, dpath="jobs/training_gpus"),
    params:
        stage=STAGE_VERSIONS["model"],
        settings=training_settings,
        processes=lookup(within=config, dpath="jobs/training_processes"),
        stream="--stream" if config["jobs"]["training_stream"] else "",
        simulations=(
            f"--simulations results/{config['run']}"
            if config["training"]["source"] == "rendered"
            else ""
        ),
        # Outside the outputs: Snakemake removes those before a job starts again.
        checkpoints=f"results/{config['run']}/checkpoints",
    message:
        "Training, {params.processes} process(es)"
    shell:
        "torchrun --standalone --nproc-per-node={params.processes} -m iphasenet.train --threads {threads} "
        "--dataset {input.dataset} --weights {output.weights} --history {output.history} "
        "--checkpoints {params.checkpoints} --settings {params.settings:q} {params.stream} {params.simulations} 2>&1 | tee {log}"
