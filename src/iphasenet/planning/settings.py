"""Every key of the configuration: those of a stage stand in its package, the others here; no torch is needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from iphasenet.base import quantities
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings
from iphasenet.microscope.acquisition import EvaluationDoses, Imperfections, TrainingDose
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.settings import Numerics
from iphasenet.network.settings import ModelSettings
from iphasenet.planning.image_settings import ImageSettings
from iphasenet.simulation.grid import Grid
from iphasenet.simulation.image import Image
from iphasenet.training.settings import TrainingSettings

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_PATH = r"^[^{}<>]+$"
_COUNT = Quantity("", 1, 1024, whole=True)
_GPUS = Quantity("GPUs", 0, 1024, whole=True)

Label = Annotated[str, Setting(most=100)]

Direction = Annotated[tuple[int, int, int], Setting(quantity=quantities.LATTICE_INDEX, direction=True)]
ShortDirection = Annotated[
    tuple[int, int, int],
    Setting(quantity=replace(quantities.LATTICE_INDEX, low=-9, high=9), direction=True),
]
"""Its indices are digits: a group of the data set is named by them."""


@dataclass(frozen=True)
class Material(Settings, section="materials"):
    """A crystal and the direction in which the beam sees it."""

    cif: Annotated[
        str, Setting("Path of the structure (CIF), relative to the working directory.", pattern=_PATH, path=True)
    ]
    zone_axis: Annotated[
        tuple[int, int, int] | None,
        Setting(
            "Lattice direction [u, v, w] along the beam: this or `zone_axes`. An orthogonal cell must exist there; if "
            "not, the job says so.",
            quantities.LATTICE_INDEX,
            direction=True,
        ),
    ] = None
    zone_axes: Annotated[
        tuple[ShortDirection, ...] | None,
        Setting(
            "Several directions in place of `zone_axis`, such as `[[0, 0, 1], [1, 0, 0]]`. Each is a group of the data "
            "set, `GaN_001` and `GaN_100`.",
            least=1,
            most=100,
            once=True,
            unordered=True,
        ),
    ] = None
    block: Annotated[
        str | int | None,
        Setting(
            "Block of the CIF that holds the structure, where several hold atoms.",
            Quantity("", 0, 1e18, whole=True),
            least=1,
            most=200,
        ),
    ] = None
    max_strain_percent: Annotated[
        float,
        Setting(
            "Largest shear strain that may make a slightly skew cell orthogonal, such as 0.2 for calculated cells "
            "(0.11°). The default is what rounding explains.",
            quantities.STRAIN,
        ),
    ] = quantities.MAX_STRAIN
    rms_displacement_angstrom: Annotated[
        Mapping[str, float],
        Setting(
            "Thermal displacement along one axis by element, such as `{Ga: 0.06, N: 0.07}`. It damps images and "
            "truth by the Debye-Waller factor. Elements that are absent are at rest.",
            quantities.DISPLACEMENT,
            zero_if_absent=True,
        ),
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class Simulation(Settings, section="simulation"):
    """How images are computed."""

    parametrization: Annotated[
        Literal["lobato", "kirkland"], Setting("Electron scattering factors, as abTEM has them.")
    ]
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Setting("Where multislice and evaluation run; `auto`: on a GPU where there is one."),
    ]
    multislice: Annotated[Numerics, Setting("Grid, slices, window and memory of the multislice simulation.")]


@dataclass(frozen=True)
class Noise(Settings, section="noise"):
    """Doses and imperfections of the recorded images."""

    training_dose: TrainingDose
    evaluation_doses: EvaluationDoses
    acquisition: Imperfections


@dataclass(frozen=True)
class Evaluation(Settings, section="evaluation"):
    """What is evaluated, and how."""

    turns: Annotated[
        Literal[1, 4],
        Setting(
            "Quarter turns of image, detector and crystal that the network's predictions are averaged over; 1 takes a "
            "quarter of the time of 4."
        ),
    ]
    window_factors: Annotated[
        tuple[float, ...],
        Setting(
            "Windows, as multiples of the run's, in which one test tilt of each material is simulated again; the "
            "largest is the reference. It costs as many tilts as the sum of the squares. Empty: none.",
            Quantity("", 1, 8, above=True),
            most=20,
            once=True,
            unordered=True,
        ),
    ]


@dataclass(frozen=True)
class Reconstruction(Settings, section="reconstruction"):
    """A folder of the user's own images, reconstructed by the target `reconstruction`."""

    images: Annotated[
        str,
        Setting(
            "Folder of the images, one file each, of any format that `iphasenet reconstruct` reads; other files are "
            "left alone."
        ),
    ]
    weights: Annotated[
        str | None,
        Setting(
            "Weights of the network, such as `resources/models/laptop.safetensors`. Where it is absent: the run's own "
            "network, trained if need be.",
            pattern=_PATH,
        ),
    ] = None
    settings: Annotated[ImageSettings | None, Setting("Settings of all images.")] = None
    own: Annotated[
        Mapping[str, ImageSettings] | None,
        Setting(
            "Settings of single images in place of those of all, by the file's name with or without its ending, such "
            "as `{wedge_07: {thickness_nm: 35}}`."
        ),
    ] = None


@dataclass(frozen=True)
class Jobs(Settings, section="jobs"):
    """How the work is cut."""

    tilts_per_job: Annotated[int, Setting("Tilts that one simulation job does.", Quantity("", 1, 10_000, whole=True))]
    simulation_gpus: Annotated[
        int,
        Setting(
            "GPUs that a simulation or evaluation job asks for: 1 where `simulation.device` finds one, so that jobs "
            "do not share it. Locally, also give `--resources gpu=N`.",
            _GPUS,
        ),
    ]
    training_nodes: Annotated[
        int,
        Setting(
            "Machines that train together, each with the processes, cores, GPUs and memory below; more than 1 on a "
            "cluster only.",
            Quantity("", 1, 10_000, whole=True),
        ),
    ]
    training_processes: Annotated[
        int,
        Setting(
            "Training processes on each machine, one for each GPU. On a CPU each has `training_threads` over this "
            "number of threads.",
            _COUNT,
        ),
    ]
    training_threads: Annotated[int, Setting("Cores of the training job on each machine.", _COUNT)]
    training_gpus: Annotated[
        int,
        Setting("GPUs that the training job asks for on each machine. Locally, also give `--resources gpu=N`.", _GPUS),
    ]
    training_without_gpu: Annotated[
        bool,
        Setting(
            "If true, a training that asks for GPUs may run on a machine without. Otherwise it is refused before "
            "anything runs, with the estimated time."
        ),
    ]
    training_stream: Annotated[
        bool,
        Setting(
            "If true, training reads images from the store when they are needed: for sets larger than the memory of "
            "each process. Otherwise they are in memory, and on a GPU where they take at most half of what is free "
            "there."
        ),
    ]
    training_mem_mb: Annotated[
        int | Literal["auto"],
        Setting(
            "Memory of the training job on each machine; `auto`: estimated from the data, `model.feature_size` and the "
            "batch.",
            Quantity("MB", 1, 1e8, whole=True),
        ),
    ]
    training_minutes: Annotated[
        int | Literal["auto"],
        Setting(
            "Run time asked for the training job; `auto`: estimated from pixels, epochs, `model.feature_size` and "
            "GPUs.",
            Quantity("minutes", 1, 1e6, whole=True),
        ),
    ]
    evaluation_threads: Annotated[
        int,
        Setting(
            "Cores of a job that predicts the test samples of one material; the materials run beside each other.",
            _COUNT,
        ),
    ]


@dataclass(frozen=True)
class Configuration(Settings, section=""):
    """The whole configuration."""

    run: Annotated[
        str, Setting("Name of the run; everything that it makes lies in `results/<run>/`.", pattern=_NAME, most=100)
    ]
    seed: Annotated[int, Setting("Seed of tilts, rotations, offsets, splits and noise.", quantities.SEED)]
    materials: Annotated[
        Mapping[str, Material],
        Setting("Crystals by name (letters and digits).", pattern=r"^[A-Za-z0-9]+$", least=1, most=1000),
    ]
    grid: Annotated[Grid, Setting("Thicknesses and orientations of every material.")]
    image: Annotated[Image, Setting("Pixels of the images.")]
    optics: Annotated[Microscope, Setting("Probe and detector.")]
    simulation: Annotated[Simulation, Setting("How images are computed.")]
    noise: Annotated[Noise, Setting("Doses and imperfections of the recorded images.")]
    model: Annotated[ModelSettings, Setting("Architecture of the network.")]
    training: Annotated[TrainingSettings, Setting("How the network is trained.")]
    evaluation: Annotated[Evaluation, Setting("What is evaluated, and how.")]
    jobs: Annotated[Jobs, Setting("How the work is cut.")]
    title: Annotated[
        str | None, Setting("What the run is, in a few words, for reports; its name if absent.", most=1000)
    ] = None
    select: Annotated[
        tuple[Label, ...] | None,
        Setting(
            "Materials to run, with all their zone axes, or single zone axes such as `GaN_100`; all if absent.",
            least=1,
            most=1000,
            unordered=True,
        ),
    ] = None
    trained: Annotated[
        str | None,
        Setting(
            "Name of another run that ended, whose network and baselines are tested; nothing is trained, and `model`, "
            "`training` and `noise.training_dose` are that network's. Samples that it has seen, by crystal, tilt and "
            "thickness, are left out and counted. With `grid: {splits: [test]}` only the test crystals are simulated.",
            pattern=_NAME,
            most=100,
        ),
    ] = None
    dataset: Annotated[
        str | None,
        Setting(
            "Name of another run that ended, on whose data set this one trains and tests; nothing is simulated. What "
            "the data set depends on must be set as that run had it: give its configuration file first.",
            pattern=_NAME,
            most=100,
        ),
    ] = None
    compare: Annotated[
        tuple[Annotated[str, Setting(pattern=_NAME, most=100)], ...] | None,
        Setting("Names of runs that ended, whose scores the report sets beside this one's.", most=100, once=True),
    ] = None
    container: Annotated[
        str | None,
        Setting(
            "Image, such as `iphasenet.sif`, in which jobs run with `--software-deployment-method apptainer`.",
            pattern=r"^[^\s{}]+$",
        ),
    ] = None
    storage: Annotated[
        str | None,
        Setting(
            "URL, without credentials, below which a copy of the data set is kept, as "
            "`<storage>/<run>/dataset.zarr`, such as `s3://bucket/iphasenet`. The training reads the copy. "
            "Credentials come from the environment.",
            pattern=r"^[a-z0-9+]+://[^@\s]*[^@\s/]$",
        ),
    ] = None
    reconstruction: Annotated[
        Reconstruction | None,
        Setting("The user's own images; the target `reconstruction` reconstructs them."),
    ] = None
