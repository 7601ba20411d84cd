from pathlib import Path

from iphasenet.sheets import draw_material
from iphasenet.stage import stage

material = snakemake.wildcards.material

with stage(f"sheet of {material}", snakemake.log[0]):
    draw_material(Path(snakemake.input.dataset), material, [Path(snakemake.output.sheet)])
