rule plan:
    log:
        "<run>/logs/plan.log",
    localrule: True
    conda:
        "../../envs/plan.yaml"
    # As the simulation jobs, whatever the cores: what is measured must run as they do.
    threads: 1
    params:
        materials=MATERIALS,
        # Where jobs go to a cluster, `--cores` is not given: this machine's.
        cores=lambda wildcards: workflow.resource_settings.cores or os.cpu_count(),
        results=f"results/{config['run']}",
    message:
        "Plan: about a minute of measurements"
    script:
        "../scripts/print_plan.py"
