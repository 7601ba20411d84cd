rule plan_columns:
    output:
        plan="<run>/columns/plan.json",
    log:
        "<run>/logs/plan_columns.log",
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        configuration=column_configuration,
        splits=column_splits,
        batches=column_batches,
    message:
        "Crystals that the network for any crystal is trained and tested on"
    script:
        "../scripts/plan_columns.py"


rule train_columns:
    input:
        plan="<run>/columns/plan.json",
        potential=expand("<data>/potential/{material}.npz", material=MATERIALS),
        images=every_image,
        start=lookup(within=config, dpath="column_network/training/start", default=[]),
    output:
        weights="<run>/columns/weights.safetensors",
        history="<run>/columns/history.csv",
    log:
        "<run>/logs/train_columns.log",
    benchmark:
        "<run>/benchmarks/train_columns.tsv"
    conda:
        "../../envs/train.yaml"
    threads: lookup(within=config, dpath="jobs/training_threads")
    resources:
        **training_machines(),
        mem_mb=raised(JOBS["training_mem_mb"]),
        runtime=raised_minutes(JOBS["training_minutes"], JOBS["training_gpus"]),
    params:
        stage=STAGE_VERSIONS["columns"],
        # Not the files one by one: there are thousands, more than a command may hold.
        data=data_folder,
        processes=lookup(within=config, dpath="jobs/training_processes"),
        nodes=lookup(within=config, dpath="jobs/training_nodes"),
        launcher=training_launcher(),
        accelerator="auto" if config["jobs"]["training_gpus"] else "cpu",
        # Outside the outputs: Snakemake removes those before a job starts again.
        checkpoints=f"results/{config['run']}/checkpoints",
    message:
        "Training of the network for any crystal, {params.processes} process(es)"
    shell:
        "trap '' USR1; "
        "{params.launcher}python -m iphasenet.training.launch --nodes {params.nodes} --processes {params.processes} -- "
        "-m iphasenet.training.column_fit --threads {threads} --plan {input.plan} --data {params.data} "
        "--weights {output.weights} --history {output.history} "
        "--checkpoints {params.checkpoints} --accelerator {params.accelerator} 2>&1 | tee {log}"


rule score_columns:
    input:
        plan="<run>/columns/plan.json",
        weights="<run>/columns/weights.safetensors",
        potential=expand("<data>/potential/{material}.npz", material=MATERIALS),
        images=every_image,
    output:
        scores="<run>/columns/scores.parquet",
        summary="<run>/columns/summary.csv",
        crystals="<run>/columns/crystals.csv",
    log:
        "<run>/logs/score_columns.log",
    benchmark:
        "<run>/benchmarks/score_columns.tsv"
    conda:
        "../../envs/train.yaml"
    threads: lookup(within=config, dpath="jobs/evaluation_threads")
    resources:
        mem_mb=raised(8000),
        runtime=raised_minutes(240, JOBS["simulation_gpus"]),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["column_scores"],
        data=data_folder,
        doses=lookup(within=config, dpath="noise/evaluation_doses"),
        seed=lookup(within=config, dpath="seed"),
    message:
        "Test of the network for any crystal, on crystals that it has not seen"
    script:
        "../scripts/score_columns.py"


rule columns:
    input:
        column_targets(),
    localrule: True
