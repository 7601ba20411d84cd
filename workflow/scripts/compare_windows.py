from pathlib import Path

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.files import write_table
from iphasenet.base.job_log import stage
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import Numerics
from iphasenet.simulation.window_convergence import window_differences

params, material = snakemake.params, snakemake.wildcards.material
settings = snakemake.config["simulation"]

with use_threads(1), stage(f"windows of {material}", snakemake.log[0], snakemake.output):
    table = window_differences(
        # The noise of moving atoms would hide differences of windows: their mean potential is simulated.
        CrystalPotential.load(snakemake.input.potential).averaged(),
        Microscope(**params.optics),
        Numerics(**params.numerics, memory_mb=settings["multislice"]["memory_mb"]),
        [10 * thickness for thickness in params.thickness_nm],
        params.tilt,
        params.factors,
        choose_device(settings["device"]),
    )
    write_table(table.assign(material=material), Path(snakemake.output.table))
