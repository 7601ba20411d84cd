from pathlib import Path

from iphasenet.base.job_log import stage
from iphasenet.reporting.image_figures import draw_material

with stage(f"sheet of {snakemake.wildcards.material}", snakemake.log[0], snakemake.output):
    draw_material(Path(snakemake.input.store), [Path(snakemake.output.sheet)])
