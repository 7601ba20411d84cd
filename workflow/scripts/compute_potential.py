from iphasenet.numerics import potential_cutoff
from iphasenet.potential import crystal_potential
from iphasenet.stage import stage
from iphasenet.structure import lateral_translations, orthogonal_cell, read_structure

with stage(f"potential of {snakemake.wildcards.material}", snakemake.log[0]) as log:
    cell = orthogonal_cell(read_structure(snakemake.input.cif), tuple(snakemake.params.zone_axis))
    a, b, c = cell.cell.lengths()
    log.info("cell %.3f x %.3f x %.3f Å, %d atoms", a, b, c, len(cell))
    translations = lateral_translations(cell)
    cutoff = potential_cutoff((a, b), translations, snakemake.params.sampling, snakemake.params.image_sampling)
    potential = crystal_potential(cell, cutoff, snakemake.params.parametrization, snakemake.params.displacements)
    log.info("spatial frequencies to %.2f 1/Å", cutoff)
    potential.save(snakemake.output.potential)
