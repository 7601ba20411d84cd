"""Check, before a simulation, that another run's network has not seen all samples on which a run would test it."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.crystal.identity import CrystalIdentity, structure_hash
from iphasenet.crystal.structure import crystal_cell
from iphasenet.planning.other_runs import WEIGHTS, described_weights
from iphasenet.simulation.grid import Grid, samples
from iphasenet.training.seen import nothing_new, planned_coordinates, unseen, what_is_new


def check_unseen(config: Mapping[str, Any], materials: Sequence[str], results: Path = Path("results")) -> None:
    """
    Refuse a run whose planned test samples another run's network has all seen.

    Parameters
    ----------
    config : mapping
        Configuration with `trained`, and one zone axis per material.
    materials : sequence of str
        Materials of the run.
    results : path
        Folder of all runs.

    Raises
    ------
    InputError
        If all samples were seen. There is no error if the weights do not say what they have seen, or if any sample is
        new; the evaluation counts the new ones.
    """
    seen = described_weights(results / config["trained"] / WEIGHTS).get("seen")
    if seen is None:
        return
    count = 0
    for name in materials:
        every = samples(config["seed"], name, Grid(**config["grid"]))
        planned = [sample for sample in every if sample.orientation.split == "test"]
        with warnings.catch_warnings():
            # Warnings about the structure are shown by the job that computes the potential.
            warnings.simplefilter("ignore", InputWarning)
            still = {key: told for key, told in config["materials"][name].items() if "displacement" not in key}
            crystal = CrystalIdentity(name, structure_hash(crystal_cell(still)))
        if len(unseen(what_is_new(seen, crystal, planned_coordinates(planned)))):
            return
        count += len(planned)
    raise InputError(f"trained: {config['trained']}: {nothing_new(count)}")
