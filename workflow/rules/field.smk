rule simulate_specimen:
    input:
        cif=specimen_cif,
    output:
        images="<run>/field/images/{specimen}.npz",
    log:
        "<run>/logs/simulate_specimen/{specimen}.log",
    benchmark:
        "<run>/benchmarks/simulate_specimen/{specimen}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=raised(4000),
        runtime=raised_minutes(240, JOBS["simulation_gpus"]),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["field_images"],
        specimen=planned_specimen,
        crystal=specimen_crystal,
        temperature=temperature(config),
        numerics=field_numerics,
    message:
        "Images of {wildcards.specimen}"
    script:
        "../scripts/simulate_specimen.py"


rule fit_specimen:
    input:
        images="<run>/field/images/{specimen}.npz",
        cif=specimen_cif,
    output:
        fits="<run>/field/fits/{specimen}.npz",
    log:
        "<run>/logs/fit_specimen/{specimen}.log",
    benchmark:
        "<run>/benchmarks/fit_specimen/{specimen}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=raised(4000),
        runtime=raised_minutes(240, JOBS["simulation_gpus"]),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["field_fits"],
        crystal=specimen_crystal,
        temperature=temperature(config),
        recording=field_recording,
        chosen=field_fits,
    message:
        "Fits of {wildcards.specimen}"
    script:
        "../scripts/fit_specimen.py"


rule try_ways:
    input:
        images="<run>/field/images/{specimen}.npz",
        fits="<run>/field/fits/{specimen}.npz",
        weights=field_weights,
    output:
        scores="<run>/field/scores/{specimen}.parquet",
        pictures="<run>/field/pictures/{specimen}.npz",
    log:
        "<run>/logs/try_ways/{specimen}.log",
    benchmark:
        "<run>/benchmarks/try_ways/{specimen}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=raised(4000),
        runtime=raised_minutes(60, JOBS["simulation_gpus"]),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["field_ways"],
        recording=field_recording,
    message:
        "Ways from the images of {wildcards.specimen} to the potential"
    script:
        "../scripts/try_ways.py"


rule summarise_field:
    input:
        scores=expand("<run>/field/scores/{specimen}.parquet", specimen=specimens()),
        pictures=expand("<run>/field/pictures/{specimen}.npz", specimen=specimens()),
    output:
        **{
            name: f"<run>/field/{name}.csv"
            for name in (
                "scores",
                "summary",
                "conditions",
                "estimates",
                "defects",
                "unusable",
            )
        },
        pictures=report(
            "<run>/field/pictures.png",
            caption="../report/field.rst",
            category="Field test",
        ),
        gallery="<run>/field/gallery.png",
        failures="<run>/field/failures.png",
    log:
        "<run>/logs/summarise_field.log",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=raised(2000),
        runtime=raised_minutes(10),
    params:
        stage=STAGE_VERSIONS["field_ways"],
    message:
        "Summary of the field test"
    script:
        "../scripts/summarise_field.py"


rule field:
    input:
        field_targets(),
    localrule: True
