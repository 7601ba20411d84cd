rule compute_potential:
    input:
        cif=cif_of,
    output:
        potential="<run>/potential/{material}.npz",
    log:
        "<run>/logs/compute_potential/{material}.log",
    benchmark:
        "<run>/benchmarks/compute_potential/{material}.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=raised(1500),
        runtime=raised_minutes(10),
    params:
        stage=STAGE_VERSIONS["potential"],
        crystal=crystal_of,
        temperature=temperature(config),
        parametrization=lookup(within=config, dpath="simulation/parametrization"),
        sampling=lookup(within=config, dpath="simulation/multislice/sampling_angstrom"),
        image_sampling=potential_image_sampling(config),
    message:
        "Potential of {wildcards.material}"
    script:
        "../scripts/compute_potential.py"


rule simulate_images:
    input:
        potential="<run>/potential/{material}.npz",
    output:
        images="<run>/images/{material}/batch{batch}.npz",
    log:
        "<run>/logs/simulate_images/{material}-batch{batch}.log",
    benchmark:
        "<run>/benchmarks/simulate_images/{material}-batch{batch}.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=raised(job_resources.simulation_mb(config)),
        runtime=raised_minutes(
            job_resources.images_minutes(config), JOBS["simulation_gpus"]
        ),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["images"],
        orientations=batch_orientations,
        thickness_nm=lookup(within=config, dpath="grid/thickness_nm"),
        optics=planned_optics(config),
        numerics=accuracy_settings(config),
        seed=lookup(within=config, dpath="seed"),
    message:
        "Multislice of {wildcards.material}, batch {wildcards.batch}"
    script:
        "../scripts/simulate_images.py"


rule simulate_slabs:
    input:
        cif=cif_of,
    output:
        samples="<run>/slabs/{material}/tilt{tilt}.npz",
    log:
        "<run>/logs/simulate_slabs/{material}-tilt{tilt}.log",
    benchmark:
        "<run>/benchmarks/simulate_slabs/{material}-tilt{tilt}.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=raised(job_resources.simulation_mb(config)),
        runtime=raised_minutes(1440, JOBS["simulation_gpus"]),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["slabs"],
        samples=planned_slab,
        image=lookup(within=config, dpath="image"),
        optics=planned_optics(config),
        crystal=crystal_of,
        temperature=temperature(config),
        truth=configured_truth(config),
        seed=lookup(within=config, dpath="seed"),
        parametrization=lookup(within=config, dpath="simulation/parametrization"),
        numerics=accuracy_settings(config),
    message:
        "Multislice of a slab of {wildcards.material}, tilt {wildcards.tilt}"
    script:
        "../scripts/simulate_slabs.py"


rule render_samples:
    input:
        cif=cif_of,
        potential="<run>/potential/{material}.npz",
        images=batch_images,
        slabs=slab_samples,
    output:
        store=directory("<run>/materials/{material}.zarr"),
    log:
        "<run>/logs/render_samples/{material}.log",
    benchmark:
        "<run>/benchmarks/render_samples/{material}.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=raised(job_resources.rendering_mb(config)),
        runtime=raised_minutes(job_resources.rendering_minutes(config)),
    params:
        **drawn_optics(),
        stage=STAGE_VERSIONS["samples"],
        seed=lookup(within=config, dpath="seed"),
        grid=lookup(within=config, dpath="grid"),
        image=lookup(within=config, dpath="image"),
        doses=lookup(within=config, dpath="noise/evaluation_doses"),
        acquisition=lookup(within=config, dpath="noise/acquisition"),
        slice_thickness=lookup(
            within=config, dpath="simulation/multislice/slice_thickness_angstrom"
        ),
        crystal=crystal_of,
        temperature=temperature(config),
        truth=configured_truth(config),
    message:
        "Samples of {wildcards.material}"
    script:
        "../scripts/render_samples.py"
