from snakemake.utils import min_version

min_version("9.13")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


pathvars:
    run=f"results/{config['run']}",


report: "workflow/report/workflow.rst"


wildcard_constraints:
    material="|".join(MATERIALS),
    batch=r"\d+",
    tilt=r"\d+",


include: "workflow/rules/simulate.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/plan.smk"


onstart:
    # Only what this run makes is counted: a plan or one material needs no room for all.
    try:
        check_disk(
            config,
            MATERIALS,
            f"results/{config['run']}",
            [path for job in workflow.dag.needrun_jobs() for path in job.output],
        )
    except InputError as error:
        sys.exit(str(error))


rule all:
    default_target: True
    input:
        dataset="<run>/dataset.zarr",
        card="<run>/README.md",
        weights="<run>/model/weights.safetensors",
        model_card="<run>/model/README.md",
        summary="<run>/evaluation/summary.json",
        report="<run>/report.html",
    localrule: True


rule dataset:
    input:
        "<run>/dataset.zarr",
        "<run>/README.md",
    localrule: True
