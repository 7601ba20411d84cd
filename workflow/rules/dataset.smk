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
        mem_mb=1000,
        runtime=30,
    params:
        stage=STAGE_VERSIONS["dataset"],
        materials=MATERIALS,
        configuration=recorded_configuration(),
    message:
        "Data set of {params.materials}"
    script:
        "../scripts/assemble_dataset.py"
