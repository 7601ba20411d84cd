"""Settings on which the accuracy, cost and memory of a simulation depend."""

from dataclasses import dataclass, replace
from typing import Annotated

from iphasenet.base import quantities
from iphasenet.base.settings import Setting, Settings


@dataclass(frozen=True)
class Numerics(Settings, section="simulation.multislice"):
    """Settings of a multislice simulation."""

    sampling_angstrom: Annotated[
        float,
        Setting(
            "Largest pixel of the multislice grid. The band limit, two thirds of the Nyquist frequency, must include "
            "the probe and the detector.",
            quantities.MULTISLICE_SAMPLING,
        ),
    ]
    slice_thickness_angstrom: Annotated[
        float,
        Setting(
            "Largest thickness of a slice: that of a uniform layer whose scattering power has the same rms distance "
            "from its plane. The cell is cut between its atomic layers, into as few slices as that allows.",
            quantities.SLICE_THICKNESS,
        ),
    ]
    window_angstrom: Annotated[
        float,
        Setting(
            "Smallest side of the window in which the probe is periodic; its sides are whole numbers of cells. A 20 "
            "mrad probe spreads to 60 Å over 150 nm. The time grows as the square of the window.",
            quantities.WINDOW,
        ),
    ]
    memory_mb: Annotated[
        float,
        Setting(
            "Memory of one simulation: as many plane waves are propagated together as fit. If one wave does not fit, "
            "the job ends at its start and names the memory needed. The result does not depend on it.",
            quantities.MEMORY,
            configured=replace(quantities.MEMORY, low=100),
            required=True,
        ),
    ] = 2000.0
    thermal_noise: Annotated[
        float,
        Setting(
            "Statistical error that images of moving atoms may have, as a share of their contrast. Passes through "
            "other configurations of the atoms are averaged until it is reached.",
            quantities.THERMAL_NOISE,
        ),
    ] = 0.02
    thermal_passes: Annotated[
        int,
        Setting("Largest number of such passes of one tilt.", quantities.THERMAL_PASSES),
    ] = 4
    thermal_coarse_passes: Annotated[
        int,
        Setting(
            "Largest number of passes on a coarse grid for each of those passes. They are cheap, and take most of the "
            "noise away without changing what the mean tends to.",
            quantities.COARSE_PASSES,
        ),
    ] = 8
    thermal_period_angstrom: Annotated[
        float,
        Setting(
            "Smallest lateral distance after which displacements of atoms repeat, in whole cells. Larger ones leave "
            "less noise in thick crystals, and cost more time.",
            quantities.WINDOW,
        ),
    ] = 4.0
