import re

from snakemake.utils import min_version

min_version("9.13")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"


pathvars:
    run=f"results/{config['run']}",
    data=DATA,
    trained=TRAINED,


report: "workflow/report/workflow.rst"


if "container" in config:

    container: config["container"]


wildcard_constraints:
    material="|".join(MATERIALS),
    batch=r"\d+",
    tilt=r"\d+",
    specimen="|".join(specimens()) or "/",
    # No image at all: a name that no file has. In a group, blanks at its ends count.
    image=f"(?:{'|'.join(map(re.escape, IMAGES)) or '/'})",


include: "workflow/rules/simulate.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/columns.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/field.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/reconstruct.smk"


# Seconds of one core each: not worth a job of a cluster.
localrules:
    compare_runs,
    describe_dataset,
    describe_model,
    plan_columns,
    summarise_field,
    summarise_scores,
    write_report,


onstart:
    check_machine(list(workflow.dag.needrun_jobs()), local=not workflow.non_local_exec)


rule all:
    default_target: True
    input:
        targets(),
    localrule: True


rule dataset:
    input:
        dataset_targets(),
    localrule: True
