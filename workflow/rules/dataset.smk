rule assemble_dataset:
    input:
        materials=expand("<run>/materials/{material}.zarr", material=MATERIALS),
    output:
        store=directory("<run>/dataset.zarr"),
    log:
        "<run>/logs/assemble_dataset.log",
    benchmark:
        "<run>/benchmarks/assemble_dataset.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=raised(1500),
        runtime=raised_minutes(job_resources.assembly_minutes(config, len(MATERIALS))),
    params:
        stage=STAGE_VERSIONS["dataset"],
        materials=MATERIALS,
        configuration=recorded_configuration(config, MATERIALS),
    message:
        "Data set of {params.materials}"
    script:
        "../scripts/assemble_dataset.py"


rule upload_dataset:
    input:
        dataset="<run>/dataset.zarr",
    output:
        record="<run>/storage.json",
    log:
        "<run>/logs/upload_dataset.log",
    benchmark:
        "<run>/benchmarks/upload_dataset.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=raised(1500),
        runtime=raised_minutes(job_resources.assembly_minutes(config, len(MATERIALS))),
    params:
        stage=STAGE_VERSIONS["dataset"],
        url=copy_url,
    message:
        "Copy of the data set in {params.url}"
    script:
        "../scripts/upload_dataset.py"


rule describe_dataset:
    input:
        dataset="<run>/dataset.zarr",
    output:
        card="<run>/README.md",
        croissant="<run>/croissant.json",
        table="<run>/samples.csv",
    log:
        "<run>/logs/describe_dataset.log",
    benchmark:
        "<run>/benchmarks/describe_dataset.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        stage=STAGE_VERSIONS["card"],
    message:
        "Card of the data set"
    script:
        "../scripts/describe_dataset.py"
