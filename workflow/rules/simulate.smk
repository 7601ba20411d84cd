rule compute_potential:
    input:
        cif=cif_of,
    output:
        layers="<run>/potential/{material}.npz",
    log:
        "<run>/logs/compute_potential/{material}.log",
    benchmark:
        "<run>/benchmarks/compute_potential/{material}.tsv"
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        stage=STAGE_VERSIONS["potential"],
        zone_axis=zone_axis_of,
        parametrization=lookup(within=config, dpath="simulation/parametrization"),
        sampling=lookup(within=config, dpath="simulation/multislice/sampling_angstrom"),
        image_sampling=lookup(within=config, dpath="image/sampling_angstrom"),
    message:
        "Potential of {wildcards.material}"
    script:
        "../scripts/compute_potential.py"


rule simulate_images:
    input:
        layers="<run>/potential/{material}.npz",
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
        mem_mb=2000,
        runtime=120,
    params:
        stage=STAGE_VERSIONS["images"],
        seed=lookup(within=config, dpath="seed"),
        grid=lookup(within=config, dpath="grid"),
        optics=lookup(within=config, dpath="optics"),
        multislice=lookup(within=config, dpath="simulation/multislice"),
        device=lookup(within=config, dpath="simulation/device"),
        tilts=batch_tilts,
    message:
        "Multislice of {wildcards.material}, tilts {params.tilts}"
    script:
        "../scripts/simulate_images.py"


rule render_samples:
    input:
        layers="<run>/potential/{material}.npz",
        images=expand("<run>/images/{{material}}/batch{batch}.npz", batch=BATCHES),
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
        mem_mb=2000,
        runtime=30,
    params:
        stage=STAGE_VERSIONS["samples"],
        seed=lookup(within=config, dpath="seed"),
        grid=lookup(within=config, dpath="grid"),
        image=lookup(within=config, dpath="image"),
        noise=lookup(within=config, dpath="noise"),
        slice_thickness=lookup(
            within=config, dpath="simulation/multislice/slice_thickness_angstrom"
        ),
        zone_axis=zone_axis_of,
    message:
        "Samples of {wildcards.material}"
    script:
        "../scripts/render_samples.py"
