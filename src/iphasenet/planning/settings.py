"""All keys of the configuration; keys of one stage are defined in its package, the others here. torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from iphasenet.base import quantities
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings
from iphasenet.corpus.selection import Corpus
from iphasenet.microscope.acquisition import EvaluationDoses, Imperfections, TrainingDose
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.settings import Numerics
from iphasenet.network.settings import ModelSettings
from iphasenet.planning.field_settings import FieldTest
from iphasenet.planning.image_settings import ImageSettings
from iphasenet.simulation.drawn_optics import DrawnOptics
from iphasenet.simulation.grid import Grid
from iphasenet.simulation.image import Image
from iphasenet.simulation.truth import Truth
from iphasenet.training.column_settings import ColumnNetworkSettings
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
"""Direction with single-digit indices, which name a group of the data set."""


@dataclass(frozen=True)
class Material(Settings, section="materials"):
    """A crystal and the direction of the beam in it."""

    cif: Annotated[
        str, Setting("Path of the structure (CIF), relative to the working directory.", pattern=_PATH, path=True)
    ]
    zone_axis: Annotated[
        tuple[int, int, int] | None,
        Setting(
            "Lattice direction [u, v, w] along the beam; give this or `zone_axes`. An orthogonal cell with this "
            "direction must exist; otherwise the run is refused.",
            quantities.LATTICE_INDEX,
            direction=True,
        ),
    ] = None
    zone_axes: Annotated[
        tuple[ShortDirection, ...] | None,
        Setting(
            "Several directions in place of `zone_axis`, such as `[[0, 0, 1], [1, 0, 0]]`. Each becomes a "
            "group of the data set, here `GaN_001` and `GaN_100`.",
            least=1,
            most=100,
            once=True,
            unordered=True,
        ),
    ] = None
    block: Annotated[
        str | int | None,
        Setting(
            "Data block of the CIF that holds the structure; needed if several blocks hold atoms.",
            Quantity("", 0, 1e18, whole=True),
            least=1,
            most=200,
        ),
    ] = None
    max_strain_percent: Annotated[
        float | None,
        Setting(
            "Largest shear strain that may make a skew cell orthogonal. If absent, 0.2 (0.11°), and only where there "
            "is no cell without; a strain above 0.01 % is warned of.",
            quantities.STRAIN,
        ),
    ] = None
    rms_displacement_angstrom: Annotated[
        Mapping[str, float],
        Setting(
            "Root-mean-square thermal displacement along one axis by element at `simulation.temperature_k`, such as "
            "`{Ga: 0.06, N: 0.07}`. It replaces the CIF's displacements of these elements; at a temperature of 0 it is "
            "refused.",
            quantities.DISPLACEMENT,
        ),
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class Simulation(Settings, section="simulation"):
    """How images are computed."""

    without_effect: ClassVar[Mapping[str, Mapping[str, Any]]] = {"truth": {"temperature_k": 0}}

    parametrization: Annotated[
        Literal["lobato", "kirkland"], Setting("Electron scattering factors, from the tables of abTEM.")
    ]
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Setting("Device on which multislice and evaluation run; `auto`: a GPU if there is one."),
    ]
    multislice: Annotated[Numerics, Setting("Grid, slices, window and memory of the multislice simulation.")]
    temperature_k: Annotated[
        float,
        Setting(
            "Temperature at which atoms move, with the displacements that the CIF gives or, where it gives none, an "
            "estimate; 0: atoms at rest. Images are averaged over the motion.",
            quantities.TEMPERATURE,
        ),
    ] = 0.0
    truth: Annotated[
        Truth,
        Setting(
            "Projected potential that belongs to the images. `thermal`: averaged over thermal motion, as the electrons "
            "see it; `rest`: of the atoms at rest."
        ),
    ] = "thermal"


@dataclass(frozen=True)
class Noise(Settings, section="noise"):
    """Doses and imperfections of the recorded images."""

    training_dose: TrainingDose
    evaluation_doses: EvaluationDoses
    acquisition: Imperfections


@dataclass(frozen=True)
class Evaluation(Settings, section="evaluation"):
    """How the network is tested."""

    turns: Annotated[
        Literal[1, 4],
        Setting(
            "Number of quarter turns of image, detector and crystal over which the network's predictions are averaged; "
            "1 is four times as fast."
        ),
    ]
    window_factors: Annotated[
        tuple[float, ...],
        Setting(
            "Sizes of windows, as multiples of the run's window, in which one test tilt of each material is simulated "
            "again; the largest is the reference. The additional time is that of as many tilts as the sum of the "
            "squares of these numbers. Empty: no such test.",
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
            "Folder of the images, one file for each image, in any format that `iphasenet reconstruct` reads; other "
            "files are ignored."
        ),
    ]
    weights: Annotated[
        str | None,
        Setting(
            "Weights of the network, such as `resources/models/laptop.safetensors`. If absent, the run's own "
            "network is used, and trained first if necessary.",
            pattern=_PATH,
        ),
    ] = None
    settings: Annotated[ImageSettings | None, Setting("Settings of all images.")] = None
    own: Annotated[
        Mapping[str, ImageSettings] | None,
        Setting(
            "Settings of single images, which override `settings`, by the file's name with or without its ending, such "
            "as `{wedge_07: {thickness_nm: 35}}`."
        ),
    ] = None


@dataclass(frozen=True)
class Jobs(Settings, section="jobs"):
    """How the work is divided into jobs, and what the jobs request."""

    tilts_per_job: Annotated[
        int, Setting("Number of tilts in one simulation job.", Quantity("", 1, 10_000, whole=True))
    ]
    simulation_gpus: Annotated[
        int,
        Setting(
            "Number of GPUs that a simulation or evaluation job requests: 1 if `simulation.device` uses one, so that "
            "jobs do not share it. On one machine, also give `--resources gpu=N`.",
            _GPUS,
        ),
    ]
    training_nodes: Annotated[
        int,
        Setting(
            "Number of machines that train together, each with the processes, cores, GPUs and memory below; more than "
            "1 only on a cluster.",
            Quantity("", 1, 10_000, whole=True),
        ),
    ]
    training_processes: Annotated[
        int,
        Setting(
            "Number of training processes on each machine, one for each GPU. On a CPU, `training_threads` are divided "
            "equally between them.",
            _COUNT,
        ),
    ]
    training_threads: Annotated[int, Setting("Number of cores of the training job on each machine.", _COUNT)]
    training_gpus: Annotated[
        int,
        Setting(
            "Number of GPUs that the training job requests on each machine. On one machine, also give "
            "`--resources gpu=N`.",
            _GPUS,
        ),
    ]
    training_without_gpu: Annotated[
        bool,
        Setting(
            "If true, a training that requests GPUs may run on a machine without one. Otherwise it is refused before "
            "anything runs, with the estimated time."
        ),
    ]
    training_stream: Annotated[
        bool,
        Setting(
            "If true, training reads images from the store when they are needed, for data sets larger than the memory "
            "of each process. Otherwise they are kept in memory, or on the GPU if they take at most half of its free "
            "memory."
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
            "Run time requested for the training job; `auto`: estimated from pixels, epochs, `model.feature_size` and "
            "GPUs.",
            Quantity("minutes", 1, 1e6, whole=True),
        ),
    ]
    evaluation_threads: Annotated[
        int,
        Setting(
            "Number of cores of a job that predicts the test samples of one material; jobs of several materials run at "
            "the same time.",
            _COUNT,
        ),
    ]


@dataclass(frozen=True)
class Configuration(Settings, section=""):
    """The whole configuration."""

    run: Annotated[
        str, Setting("Name of the run; all its files are written to `results/<run>/`.", pattern=_NAME, most=100)
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
    evaluation: Annotated[Evaluation, Setting("How the network is tested.")]
    jobs: Annotated[Jobs, Setting("How the work is divided into jobs, and what the jobs request.")]
    drawn_optics: Annotated[
        DrawnOptics | None,
        Setting("Optics that are drawn for each tilt and rotation, in place of those of `optics`."),
    ] = None
    corpus: Annotated[
        Corpus | None, Setting("Crystals of a corpus, added to the materials, and which of them are held out.")
    ] = None
    column_network: Annotated[
        ColumnNetworkSettings | None,
        Setting("The network for any crystal, trained and tested by the target `columns`."),
    ] = None
    field_test: Annotated[
        FieldTest | None,
        Setting("A test of all ways from an image to the potential, on images that another model has made."),
    ] = None
    title: Annotated[
        str | None, Setting("Title of the run in reports, a few words; its name if absent.", most=1000)
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
            "Name of a finished run whose network and baselines are tested; nothing is trained, and `model`, "
            "`training` and `noise.training_dose` of that run apply. Samples whose crystal, tilt and thickness the "
            "network has seen in training are left out and counted. With `grid: {splits: [test]}` only the test tilts "
            "are simulated.",
            pattern=_NAME,
            most=100,
        ),
    ] = None
    dataset: Annotated[
        str | None,
        Setting(
            "Name of a finished run on whose data set this one trains and tests; nothing is simulated. Settings that "
            "the data set depends on must be those of that run: give its configuration file first.",
            pattern=_NAME,
            most=100,
        ),
    ] = None
    compare: Annotated[
        tuple[Annotated[str, Setting(pattern=_NAME, most=100)], ...] | None,
        Setting("Names of finished runs whose scores the report compares with this run's.", most=100, once=True),
    ] = None
    container: Annotated[
        str | None,
        Setting(
            "Container image, such as `iphasenet.sif`, in which jobs run if the command line has "
            "`--software-deployment-method apptainer`.",
            pattern=r"^[^\s{}]+$",
        ),
    ] = None
    storage: Annotated[
        str | None,
        Setting(
            "URL without credentials, such as `s3://bucket/iphasenet`. A copy of the data set is kept at "
            "`<storage>/<run>/dataset.zarr`, and the training reads this copy. Credentials come from the environment.",
            pattern=r"^[a-z0-9+]+://[^@\s]*[^@\s/]$",
        ),
    ] = None
    reconstruction: Annotated[
        Reconstruction | None,
        Setting("The user's own images, which the target `reconstruction` reconstructs."),
    ] = None
