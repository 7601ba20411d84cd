from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.job_log import stage
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import Numerics
from iphasenet.multislice.periodic_images import save_images, simulate_images

params, material = snakemake.params, snakemake.wildcards.material
# Where and how the work is done changes no result: not a parameter, so that changing it reruns nothing.
settings = snakemake.config["simulation"]

with use_threads(1), stage(f"images of {material}", snakemake.log[0], snakemake.output) as log:
    potential = CrystalPotential.load(snakemake.input.potential)
    device = choose_device(settings["device"])
    memory = settings["multislice"]["memory_mb"]
    numerics = Numerics(params.sampling, params.slice_thickness, params.window, memory)
    thicknesses = [10 * thickness for thickness in params.thickness_nm]
    images = []
    for orientation in params.orientations:
        tilt, rotations = orientation["tilt"], orientation["rotations_deg"]
        images.append(
            simulate_images(potential, Microscope(**params.optics), numerics, thicknesses, tilt, rotations, device)
        )
        log.info("tilt %d done on %s", orientation["index"], device)
    save_images(snakemake.output.images, images)
