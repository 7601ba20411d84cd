import json
import math
import sys

from iphasenet.config import check_configuration, selected_materials, sorted_keys
from iphasenet.errors import InputError
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


def batch_tilts(wildcards):
    """Numbers of the tilts that one simulation job does."""
    size = config["jobs"]["tilts_per_job"]
    first = int(wildcards.batch) * size
    return list(range(first, min(first + size, config["grid"]["tilts"])))


def training_settings(wildcards):
    """What the training process is told, as JSON."""
    keys = ("noise", "model", "training")
    return json.dumps({key: config[key] for key in keys})
