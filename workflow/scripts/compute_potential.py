from iphasenet.base.devices import use_threads
from iphasenet.base.job_log import stage
from iphasenet.crystal.structure import crystal_cell
from iphasenet.crystal.thermal_motion import mean_displacements
from iphasenet.multislice.numerics import sampled_potential

params = snakemake.params

with use_threads(1), stage(f"potential of {snakemake.wildcards.material}", snakemake.log[0], snakemake.output) as log:
    cell = crystal_cell({**params.crystal, "cif": snakemake.input.cif}, temperature_k=params.temperature)
    log.info("cell %.3f x %.3f x %.3f Å, %d atoms", *cell.cell.lengths(), len(cell))
    for element, u in mean_displacements(cell).items():
        log.info("%s moves by %.3f Å (%s)", element, u, cell.info["displacements_from"][element])
    potential = sampled_potential(cell, params.sampling, params.image_sampling, params.parametrization)
    log.info("spatial frequencies to %.2f 1/Å", potential.frequencies[0].max())
    potential.save(snakemake.output.potential)
