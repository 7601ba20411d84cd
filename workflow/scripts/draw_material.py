from pathlib import Path

from iphasenet.sheets import draw_material
from iphasenet.stage import stage

with stage(f"sheet of {snakemake.wildcards.material}", snakemake.log[0], snakemake.output):
    draw_material(Path(snakemake.input.store), [Path(snakemake.output.sheet)])
