import json
import os
import shlex
import sys
import tempfile
from functools import cache
from pathlib import Path
from subprocess import CalledProcessError

CHECKOUT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
# The workflow's own library, whatever the environment of Snakemake holds.
sys.path.insert(0, str(CHECKOUT / "src"))

from iphasenet.planning import job_resources
from iphasenet.planning.checkout import check_path, check_writable
from iphasenet.planning.configuration import (
    accuracy_settings,
    check_configuration,
    planned_optics,
    potential_image_sampling,
    temperature,
)
from iphasenet.planning.configuration_form import check_keys, one_form
from iphasenet.planning.corpus_materials import with_corpus
from iphasenet.base.errors import InputError
from iphasenet.base.recorded_names import recorded_text
from iphasenet.base.running_library import job_prelude, own_library
from iphasenet.field_test.plan import field_specimens
from iphasenet.planning.field_settings import FieldTest
from iphasenet.planning.materials import crystals, selected_materials
from iphasenet.planning.other_runs import (
    check_other_runs,
    recorded_configuration,
    trained_settings,
)
from iphasenet.simulation.grid import Grid, orientations, samples
from iphasenet.simulation.truth import configured_truth
from iphasenet.planning.disk import check_disk
from iphasenet.base.stage_versions import STAGE_VERSIONS
from iphasenet.microscope_files.folder import (
    check_own_settings,
    check_weights,
    command_options,
    find_images,
    is_pattern,
    settings_of,
)

# Snakemake writes it into shell commands as it is: below a path with a blank no job would start.
sys.executable = shlex.quote(sys.executable)


def deployment_methods():
    """How Snakemake is told to make the jobs' environments."""
    return {method.name for method in workflow.deployment_settings.deployment_method}


IMAGES = {}
try:
    check_path(str(workflow.basedir))
    check_path(str(Path.cwd()))
    check_writable(Path.cwd())
    OWN = own_library(CHECKOUT, conda="CONDA" in deployment_methods())
    check_configuration(config)
    for path in filter(os.path.isfile, workflow.configfiles):
        check_keys(path)
    if "reconstruction" in config:
        check_weights(config["reconstruction"])
        IMAGES = find_images(config["reconstruction"]["images"])
        check_own_settings(config["reconstruction"], IMAGES)
except InputError as error:
    sys.exit(str(error))

# Of every job, scripts too, in its environment.
shell.prefix(job_prelude(OWN, CHECKOUT).replace("{", "{{").replace("}", "}}"))

formed = one_form(config)
config.clear()
config.update(formed)

expanded, SPLITS = with_corpus(config)
config.update(expanded)
config["materials"] = crystals(config)
MATERIALS = selected_materials(config)
GRID = Grid(**config["grid"])
JOBS = config["jobs"]
JOBS["training_mem_mb"] = job_resources.training_mb(config, len(MATERIALS))
JOBS["training_minutes"] = job_resources.training_minutes(config, len(MATERIALS))


# Where the data set, and the network with its baselines, are made: here, or by another run.
DATA = f"results/{config.get('dataset', config['run'])}"
TRAINED = f"results/{config.get('trained', config['run'])}"


def image_input(wildcards):
    """The user's image, unless Snakemake would fill in a part of its path."""
    path = IMAGES[wildcards.image]
    return [] if is_pattern(path) else path


def image_state(wildcards):
    """Tells a change of an image that is no input."""
    path = IMAGES[wildcards.image]
    return os.stat(path).st_mtime_ns if is_pattern(path) else None


def title(wildcards):
    """The run in words, in one line. Snakemake would fill in what stands in braces, but for a function's."""
    return " ".join(config.get("title", "").split()) or config["run"]


def drawn_optics():
    """Optics that samples record, where they are drawn."""
    return {"optics": planned_optics(config)} if "drawn_optics" in config else {}


def cif_of(wildcards):
    return config["materials"][wildcards.material]["cif"]


def crystal_of(wildcards):
    """What says which crystal of the file is meant, how its cell is cut, and how its atoms move."""
    entry = config["materials"][wildcards.material]
    return {key: value for key, value in entry.items() if key != "cif"}


@cache
def planned_orientations(material):
    return orientations(config["seed"], material, GRID)


@cache
def planned_batches(material):
    """Tilts and rotations of each simulation job: all that it needs to know of the grid and the seed."""
    batches = {}
    for o in planned_orientations(material):
        if o.is_periodic:
            # Snakemake compares keys and values: another name of a key would simulate all anew.
            tilt = {
                "index": o.index,
                "tilt": o.lean,
                "rotations_deg": o.rotations_deg,
            }
            batches.setdefault(o.index // config["jobs"]["tilts_per_job"], []).append(
                tilt
            )
    return batches


def batch_orientations(wildcards):
    # None for a batch that an earlier, larger grid left behind.
    return planned_batches(wildcards.material).get(int(wildcards.batch), [])


def images_of(material):
    """Periodic images of a material's tilts."""
    return expand(
        "<data>/images/{material}/batch{batch}.npz",
        material=material,
        batch=sorted(planned_batches(material)),
    )


try:
    check_other_runs(config, MATERIALS, lambda name: sorted(planned_batches(name)))
except InputError as error:
    sys.exit(str(error))
config.update(trained_settings(config))


@cache
def planned_samples(material):
    """Samples of each tilt, as text."""
    tilts = {}
    for sample in samples(config["seed"], material, GRID):
        tilts.setdefault(sample.orientation.index, []).append(recorded_text(sample))
    return tilts


def planned_slab(wildcards):
    """Samples of a tilt of a crystal that ends: what else the seed and the grid say changes none of them."""
    return planned_samples(wildcards.material).get(int(wildcards.tilt), [])


def test_tilt(wildcards):
    """First tilt of a material's test split that has a small cell."""
    return next(
        o.lean
        for o in planned_orientations(wildcards.material)
        if o.split == "test" and o.is_periodic
    )


def training_dataset(wildcards):
    """Data set that the network was trained on."""
    return "<trained>/dataset.zarr" if "trained" in config else "<data>/dataset.zarr"


def of_materials(path):
    """A path with `{material}` in it, of all materials."""
    return expand(path, material=MATERIALS)


def batch_images(wildcards):
    return images_of(wildcards.material)


def slab_samples(wildcards):
    """Samples of a material's tilts that have no small cell."""
    slabs = [
        o.index for o in planned_orientations(wildcards.material) if not o.is_periodic
    ]
    return expand(
        "<run>/slabs/{material}/tilt{tilt}.npz", material=wildcards.material, tilt=slabs
    )


def training_simulations(wildcards):
    """Simulations that training renders crops from, where it does."""
    if config["training"]["source"] == "stored":
        return []
    return of_materials("<data>/potential/{material}.npz") + every_image(wildcards)


def data_folder(wildcards):
    """Folder of the run whose simulations are used."""
    return DATA


def every_image(wildcards):
    """Periodic images of all materials."""
    return [path for name in MATERIALS for path in images_of(name)]


def column_configuration(wildcards):
    """What the network for any crystal depends on."""
    kept = recorded_configuration(config, [])
    kept["noise"] = {
        key: config["noise"][key] for key in ("training_dose", "acquisition")
    }
    if "column_network" not in config:
        sys.exit(
            "configuration: column_network is missing: give it, as config/crystals.yaml does"
        )
    return {**kept, "column_network": config["column_network"]}


def column_batches(wildcards):
    """Tilts in each simulation of a crystal, by the simulation's number."""
    return {
        name: {
            str(number): [tilt["index"] for tilt in tilts]
            for number, tilts in sorted(planned_batches(name).items())
        }
        for name in MATERIALS
    }


def column_splits(wildcards):
    """Split of each crystal with its zone axis."""
    return {name: SPLITS[name] for name in MATERIALS}


@cache
def specimens():
    """Specimens of the field test by name."""
    if "field_test" not in config:
        return {}
    return {specimen.name: specimen for specimen in field_specimens(config)}


def planned_specimen(wildcards):
    """A specimen and its images, as text."""
    return recorded_text(specimens()[wildcards.specimen])


def specimen_crystal(wildcards):
    """What says which crystal of the file a specimen is."""
    entry = config["materials"][specimens()[wildcards.specimen].material]
    return {key: value for key, value in entry.items() if key != "cif"}


def specimen_cif(wildcards):
    return config["materials"][specimens()[wildcards.specimen].material]["cif"]


@cache
def field_test():
    """Settings of the field test, defaults included."""
    return FieldTest(**config["field_test"])


def field_settings(*names):
    """Some settings of the field test, as text."""
    return {name: repr(getattr(field_test(), name)) for name in names}


def field_numerics(wildcards):
    """What the simulation of a specimen depends on besides itself."""
    return {
        **accuracy_settings(config),
        "parametrization": config["simulation"]["parametrization"],
        "sampling": config["image"]["sampling_angstrom"],
        **field_settings(
            "displacement_factor", "cell_angstrom", "cell_multislice", "carbon_nm"
        ),
    }


def field_recording(wildcards):
    """What recording depends on besides the images."""
    return {
        "acquisition": config["noise"]["acquisition"],
        "seed": config["seed"],
        **field_settings("dark_offset", "saturation", "told_roughly"),
    }


def field_fits(wildcards):
    """Which images are fitted."""
    return field_settings("fit_nm", "fit_images", "not_fitted")


def field_weights(wildcards):
    return [field_test().weights, field_test().any_weights]


def field_targets():
    """The field test's tables."""
    folder = f"results/{config['run']}/field"
    return [f"{folder}/summary.csv", f"{folder}/pictures.png"]


def own_weights():
    """Weights of the run's own network."""
    if "column_network" in config:
        return "<run>/columns/weights.safetensors"
    return "<trained>/model/weights.safetensors"


def column_targets():
    """The network for any crystal and its test."""
    folder = f"results/{config['run']}/columns"
    return [f"{folder}/weights.safetensors", f"{folder}/summary.csv"]


def training_settings(wildcards):
    """What the training process is told, as JSON."""
    noise = {
        "dose": config["noise"]["training_dose"],
        "acquisition": config["noise"]["acquisition"],
    }
    return json.dumps(
        {"noise": noise, "model": config["model"], "training": config["training"]}
    )


def copy_url(wildcards):
    """Where the data set's copy in object storage lies; nowhere if none is kept."""
    if "storage" not in config:
        return ""
    return f"{config['storage']}/{config['run']}/dataset.zarr"


def dataset_targets():
    """The data set, its card and, where one is kept, its copy in object storage."""
    run = f"results/{config['run']}"
    made = [f"{run}/dataset.zarr", f"{run}/README.md"]
    return made + ([f"{run}/storage.json"] if "storage" in config else [])


def targets():
    """What a run makes; no data set or network where another run's is used."""
    if "column_network" in config:
        return column_targets()
    if "field_test" in config:
        return field_targets()
    run = f"results/{config['run']}"
    made = [f"{run}/evaluation/summary.json", f"{run}/report.html"]
    if "dataset" not in config:
        made += dataset_targets()
    if "trained" not in config:
        made += [f"{run}/model/weights.safetensors", f"{run}/model/README.md"]
    return made


def check_machine(jobs, local):
    """Refuse what this machine or the cluster cannot do, before anything runs: of this run's jobs alone."""
    try:
        if site():
            check_cluster(jobs)
        outputs = [path for job in jobs for path in job.output]
        check_disk(config, MATERIALS, f"results/{config['run']}", outputs)
        if "trained" in config and "predict_samples" in {job.rule.name for job in jobs}:
            check_seen()
        training = [job for job in jobs if job.rule.name == "train_model"]
        if local and training and JOBS["training_nodes"] > 1:
            raise InputError(
                f"training: found jobs.training_nodes {JOBS['training_nodes']} on one machine; allowed: 1, or a "
                "cluster (--workflow-profile profiles/slurm)"
            )
    except InputError as error:
        sys.exit(str(error))
    check_crystals(jobs)
    if local and training and JOBS["training_gpus"]:
        check_gpus(training[0])


def check_seen():
    """Refuse a test of another run's network on nothing but what it has seen."""
    try:
        from iphasenet.planning.seen_check import check_unseen
    except ImportError:
        # Snakemake's own environment need not read crystals: the summary says it then.
        return
    check_unseen(config, MATERIALS)


def check_crystals(jobs):
    """Refuse structures that a job would refuse: Snakemake's own environment need not read crystals."""
    reading = [
        job for job in jobs if job.rule.name in ("compute_potential", "simulate_slabs")
    ]
    if reading:
        names = sorted({job.wildcards.material for job in reading})
        materials = {name: config["materials"][name] for name in names}
        run_check(
            "crystal_check",
            reading[0],
            materials=materials,
            temperature_k=temperature(config),
        )


def check_gpus(training):
    """Refuse a training without its GPUs where it would run: Snakemake's own environment need not have torch."""
    cores = workflow.resource_settings.cores or os.cpu_count()
    run_check(
        "gpu_check",
        training,
        cores=cores,
        materials=len(MATERIALS),
        configuration=dict(config),
    )


def run_check(check, job, **options):
    """Run a check of `iphasenet.planning` in the environment of a job; what it is told may be long: a file."""
    methods = deployment_methods()
    environment = job.conda_env if "CONDA" in methods else None
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as told:
        json.dump(options, told)
        told.flush()
        try:
            shell(
                "python -m iphasenet.planning.{check} {told.name:q}",
                check=check,
                told=told,
                threads=workflow.resource_settings.cores or os.cpu_count(),
                conda_env=environment.address if environment else None,
                conda_base_path=workflow.conda_base_path,
                container_img=(
                    job.container_img_path if "APPTAINER" in methods else None
                ),
                singularity_args=workflow.deployment_settings.apptainer_args,
            )
        except CalledProcessError as error:
            # It has said why.
            sys.exit(error.returncode)
