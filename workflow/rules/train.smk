rule train_model:
    input:
        # The record of a copy, where there is one, and then the copy is read.
        dataset="<data>/storage.json" if "storage" in config else "<data>/dataset.zarr",
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
        **training_machines(),
        mem_mb=raised(JOBS["training_mem_mb"]),
        runtime=raised_minutes(JOBS["training_minutes"], JOBS["training_gpus"]),
    params:
        stage=STAGE_VERSIONS["model"],
        settings=training_settings,
        processes=lookup(within=config, dpath="jobs/training_processes"),
        nodes=lookup(within=config, dpath="jobs/training_nodes"),
        launcher=training_launcher(),
        stream="--stream" if config["jobs"]["training_stream"] else "",
        simulations=(
            "--simulations" if config["training"]["source"] == "rendered" else ""
        ),
        accelerator="auto" if config["jobs"]["training_gpus"] else "cpu",
        # Outside the outputs: Snakemake removes those before a job starts again.
        checkpoints=f"results/{config['run']}/checkpoints",
    message:
        "Training, {params.processes} process(es)"
    # Slurm warns every process of a job: only the training itself knows what to do.
    shell:
        "trap '' USR1; "
        "{params.launcher}python -m iphasenet.training.launch --nodes {params.nodes} --processes {params.processes} -- "
        "-m iphasenet.training.train --threads {threads} "
        "--dataset {input.dataset} --weights {output.weights} --history {output.history} "
        "--checkpoints {params.checkpoints} --settings {params.settings:q} --accelerator {params.accelerator} "
        "{params.stream} {params.simulations} {input.simulations} 2>&1 | tee {log}"
