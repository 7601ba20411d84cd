import time

from iphasenet.base.job_log import stage
from iphasenet.planning.plan import make_plan
from iphasenet.planning.plan_table import plan_text

params = snakemake.params

with stage("plan", snakemake.log[0], snakemake.output) as log:
    # Time of this process so far: every job loads these libraries and begins its log.
    startup = time.process_time()
    plan = make_plan(snakemake.config, params.materials, params.cores, startup, params.results)
    text = plan_text(plan)
    log.info("\n%s", text)

print(f"\n{text}\n", flush=True)
