rule reconstruct_image:
    input:
        image=image_input,
        weights=lookup(
            within=config, dpath="reconstruction/weights", default=own_weights()
        ),
    output:
        potential="<run>/reconstruction/{image}.hspy",
        figure=report(
            "<run>/reconstruction/{image}.png",
            caption="../report/reconstruction.rst",
            category="Reconstruction",
            labels={"figure": "{image}"},
        ),
    log:
        "<run>/logs/reconstruct_image/{image}.log",
    benchmark:
        "<run>/benchmarks/reconstruct_image/{image}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: lookup(within=config, dpath="jobs/evaluation_threads")
    resources:
        # Images are reconstructed in tiles: a large one takes longer, not more memory. The network for any crystal, which
        # sees the whole image, refuses one that is too large.
        mem_mb=raised(4000),
        runtime=raised_minutes(60, JOBS["simulation_gpus"]),
        gpu=JOBS["simulation_gpus"],
        gpu_model=gpu_type(JOBS["simulation_gpus"]),
    params:
        stage=STAGE_VERSIONS["reconstruction"],
        device=lookup(within=config, dpath="simulation/device"),
        image=lambda wildcards: IMAGES[wildcards.image],
        state=image_state,
        options=lambda wildcards: command_options(
            settings_of(IMAGES[wildcards.image], config["reconstruction"])
        ),
    message:
        "Reconstruction of {wildcards.image}"
    shell:
        "python -m iphasenet reconstruct --weights {input.weights:q} --device {params.device} --threads {threads} "
        "{params.options:q} --output {output.potential:q} --figure {output.figure:q} -- {params.image:q} 2>&1 | tee {log:q}"


rule reconstruction:
    input:
        expand("<run>/reconstruction/{image}.hspy", image=IMAGES),
    localrule: True
