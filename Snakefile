from snakemake.utils import min_version

min_version("9.13")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


pathvars:
    run=f"results/{config['run']}",
    data=DATA,
    trained=TRAINED,


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
    check_machine(list(workflow.dag.needrun_jobs()), local=not workflow.non_local_exec)


rule all:
    default_target: True
    input:
        targets(),
    localrule: True


rule dataset:
    input:
        "<run>/dataset.zarr",
        "<run>/README.md",
    localrule: True
