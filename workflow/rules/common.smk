import json
import math
import sys

from iphasenet.config import check_configuration, selected_materials, sorted_keys
from iphasenet.errors import InputError
from iphasenet.sampling import Grid, orientations
from iphasenet.stage import STAGE_VERSIONS

try:
    check_configuration(config, workflow.source_path("../schemas/config.schema.yaml"))
except InputError as error:
    sys.exit(str(error))

ordered = sorted_keys(config)
config.clear()
config.update(ordered)

MATERIALS = selected_materials(config)
BATCHES = range(math.ceil(config["grid"]["tilts"] / config["jobs"]["tilts_per_job"]))


def cif_of(wildcards):
    return config["materials"][wildcards.material]["cif"]


def zone_axis_of(wildcards):
    return config["materials"][wildcards.material]["zone_axis"]


def displacements_of(wildcards):
    """Thermal displacements of a material's elements; none is an element at rest."""
    return config["materials"][wildcards.material].get("rms_displacement_angstrom", {})


def batch_orientations(wildcards):
    """Tilts and rotations of one simulation job: all that it needs to know of the grid and the seed."""
    size = config["jobs"]["tilts_per_job"]
    first = int(wildcards.batch) * size
    planned = orientations(config["seed"], wildcards.material, Grid(**config["grid"]))
    return [
        {"index": o.index, "tilt": o.tilt, "rotations_deg": o.rotations_deg}
        for o in planned[first : first + size]
    ]


def training_settings(wildcards):
    """What the training process is told, as JSON."""
    noise = {
        "dose": config["noise"]["training_dose"],
        "readout_electrons": config["noise"]["readout_electrons"],
    }
    return json.dumps(
        {"noise": noise, "model": config["model"], "training": config["training"]}
    )


def recorded_configuration():
    """The part of the configuration that the data set depends on."""
    keys = ("run", "seed", "grid", "image", "optics")
    noise, simulation = config["noise"], config["simulation"]
    multislice = dict(simulation["multislice"])
    del multislice["memory_mb"]
    return {
        **{key: config[key] for key in keys},
        "materials": {name: config["materials"][name] for name in MATERIALS},
        "simulation": {
            "parametrization": simulation["parametrization"],
            "multislice": multislice,
        },
        "noise": {key: noise[key] for key in ("evaluation_doses", "readout_electrons")},
    }
