import json

from iphasenet.base.files import atomic_file
from iphasenet.base.job_log import stage

with stage("plan of the network for any crystal", snakemake.log[0], snakemake.output) as log:
    plan = {name: snakemake.params[name] for name in ("configuration", "splits", "batches")}
    with atomic_file(snakemake.output.plan) as temporary:
        temporary.write_text(json.dumps(plan), encoding="utf-8")
    log.info("%d crystals along their zone axes", len(plan["splits"]))
