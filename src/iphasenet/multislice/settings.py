"""What a simulation's accuracy, cost and memory depend on."""

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
            "Largest pixel of the multislice grid. Its band limit, two thirds of the Nyquist frequency, must hold the "
            "detector.",
            quantities.MULTISLICE_SAMPLING,
        ),
    ]
    slice_thickness_angstrom: Annotated[
        float,
        Setting(
            "Atomic layers this close to each other form one slice: the cell is cut between its layers.",
            quantities.SLICE_THICKNESS,
        ),
    ]
    window_angstrom: Annotated[
        float,
        Setting(
            "Smallest side of the window, a whole number of cells, in which a probe is periodic. A 20 mrad probe "
            "spreads to 60 Å over 150 nm. Time grows as the square of the window.",
            quantities.WINDOW,
        ),
    ]
    memory_mb: Annotated[
        float,
        Setting(
            "Memory of one simulation: as many plane waves are carried together as fit. A job that cannot fit says so "
            "before it starts, with the number. It does not change the result.",
            quantities.MEMORY,
            configured=replace(quantities.MEMORY, low=100),
            required=True,
        ),
    ] = 2000.0
