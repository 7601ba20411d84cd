from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.job_log import stage
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.multislice.numerics import Numerics
from iphasenet.multislice.periodic_images import save_images, simulate_images
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import random_key

params, material = snakemake.params, snakemake.wildcards.material
# Where and how the work is done changes no result: not a parameter, so that changing it reruns nothing.
settings = snakemake.config["simulation"]

with use_threads(1), stage(f"images of {material}", snakemake.log[0], snakemake.output) as log:
    potential = CrystalPotential.load(snakemake.input.potential)
    device = choose_device(settings["device"])
    numerics = Numerics(**params.numerics, memory_mb=settings["multislice"]["memory_mb"])
    thicknesses = [10 * thickness for thickness in params.thickness_nm]
    optics = PlannedOptics.of_job(params.optics, params.seed)
    images = []
    for orientation in params.orientations:
        tilt, rotations = orientation["tilt"], orientation["rotations_deg"]
        seed = random_key(params.seed, material, "thermal", orientation["index"])
        used = optics.rotations(material, orientation["index"], len(rotations))
        images.append(simulate_images(potential, used, numerics, thicknesses, tilt, rotations, device, seed=seed))
        noise = ", ".join(f"{share:.2%}" for share in images[-1].noise)
        left = f", noise {noise} of the contrast" if noise else ""
        log.info("tilt %d done on %s%s", orientation["index"], device, left)
    save_images(snakemake.output.images, images)
