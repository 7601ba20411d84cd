"""Checks of what a run takes from other runs: it must exist, and agree with the settings of this run."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from iphasenet.base.errors import InputError
from iphasenet.base.reading import read_safetensors_header
from iphasenet.planning.configuration import accuracy_settings
from iphasenet.planning.configuration_form import one_form

WEIGHTS = "model/weights.safetensors"
"""Path of a run's network below its results."""

_FIRST = {"dataset": "dataset.zarr", "trained": WEIGHTS, "compare": "evaluation/summary.json"}
"""File of another run that each key needs first; runs with it are proposed in messages."""

PLAN = "columns/plan.json"
"""Path of a run's plan of a network for any crystal, which trains on simulations, not on a data set."""

_SIMULATED = ("seed", "grid", "optics", "drawn_optics", "simulation")
"""Sections that such simulations depend on."""


def check_other_runs(
    config: Mapping[str, Any],
    materials: Sequence[str],
    batches: Callable[[str], Sequence[int]],
    results: Path = Path("results"),
) -> None:
    """
    Refuse names of runs that do not exist, runs that lack files for this one, and settings that contradict theirs.

    Snakemake would not report these: it skips jobs with missing input as long as their outputs exist.

    Parameters
    ----------
    config : mapping
        Configuration in its one form (`iphasenet.planning.configuration_form.one_form`), with one zone axis each.
    materials : sequence of str
        Materials of the run.
    batches : callable
        Function that returns the numbers of a material's simulation jobs.
    results : path
        Folder of all runs.

    Raises
    ------
    InputError
        One line that names the key, what was found and what is allowed.
    """
    named = [(key, config[key]) for key in ("dataset", "trained") if key in config]
    named += [("compare", name) for name in config.get("compare", []) if name != config["run"]]
    for key, name in named:
        first = PLAN if key == "dataset" and "column_network" in config else _FIRST[key]
        if not (results / name / first).exists():
            there = sorted(path.name for path in results.glob("*") if (path / first).exists())
            raise InputError(
                f"configuration: {key}: found {name!r}, a run without {results / name / first}; allowed: runs "
                f"that have theirs, {', '.join(there) or 'of which there are none'}"
            )
        if key == "dataset":
            _check_settings(config, materials, results / name)
        if key == "trained":
            _check_image(config, results / name)
        missing = [file for file in _needed(key, config, materials, batches) if not (results / name / file).exists()]
        if missing:
            hint = ", simulated with this run's jobs.tilts_per_job" if missing[0].startswith("images") else ""
            raise InputError(
                f"configuration: {key}: found {name!r}, which lacks {missing[0]} ({len(missing)} missing); allowed: a "
                f"run that ended{hint}"
            )


def _needed(
    key: str, config: Mapping[str, Any], materials: Sequence[str], batches: Callable[[str], Sequence[int]]
) -> Iterator[str]:
    """Files that this run reads from the results of another one."""
    if key == "trained":
        yield from ("evaluation/baselines.npz", "dataset.zarr/zarr.json")
    elif key == "compare":
        yield "evaluation/samples.parquet"
    else:
        columns = "column_network" in config
        if "storage" in config and not columns:
            yield "storage.json"
        for material in materials:
            yield f"potential/{material}.npz"
            if not columns:
                yield f"materials/{material}.zarr/zarr.json"
            if columns or config["training"]["source"] == "rendered":
                yield from (f"images/{material}/batch{number}.npz" for number in batches(material))


def recorded_configuration(config: Mapping[str, Any], materials: Sequence[str]) -> dict[str, Any]:
    """
    Select the part of a configuration on which the data set depends.

    Parameters
    ----------
    config : mapping
        Configuration with a zone axis a material.
    materials : sequence of str
        Materials of the run.
    """
    keys = ("run", "seed", "grid", "image", "optics")
    noise, simulation = config["noise"], config["simulation"]
    return {
        **{key: config[key] for key in (*keys, "drawn_optics") if key in config},
        "materials": {name: config["materials"][name] for name in materials},
        "simulation": {
            **{key: simulation[key] for key in ("parametrization", "temperature_k", "truth") if key in simulation},
            "multislice": accuracy_settings(config),
        },
        "noise": {key: noise[key] for key in ("evaluation_doses", "acquisition")},
    }


def _recorded(run: Path) -> dict[str, Any]:
    """Read the configuration of a run's data set, in its one form; empty if the data set does not hold it."""
    return one_form(_read_json(run / "dataset.zarr" / "zarr.json", "attributes", "configuration"))


def _check_settings(config: Mapping[str, Any], materials: Sequence[str], run: Path) -> None:
    """Refuse settings that contradict another run's data set, because they would have no effect."""
    columns = "column_network" in config
    recorded = one_form(_read_json(run / PLAN, "configuration")) if columns else _recorded(run)
    if not recorded:
        # A damaged store is reported by the job that opens it.
        return
    if columns:
        own, others = (
            {key: one[key] for key in _SIMULATED if key in one}
            for one in (recorded_configuration(config, ()), recorded)
        )
        _compare(own, others, run)
        return
    if set(materials) != set(recorded.get("materials", materials)):
        raise InputError(
            f"configuration: select: found {', '.join(materials)}; allowed: all crystals of the data set of "
            f"{run.name!r} (dataset), {', '.join(recorded['materials'])}"
        )
    _compare(recorded_configuration(config, materials), recorded, run)


def _compare(settings: Mapping[str, Any], recorded: Mapping[str, Any], run: Path) -> None:
    """Refuse settings that differ from those that another run recorded."""
    now, then = dict(_flat(settings)), dict(_flat(recorded))
    differing = [key for key in sorted(now.keys() | then.keys()) if key != "run" and now.get(key) != then.get(key)]
    if differing:
        first = differing[0]
        others = f"; so do {', '.join(differing[1:6])}{' ...' * (len(differing) > 6)}" if differing[1:] else ""
        raise InputError(
            f"configuration: {first}: found {now.get(first, 'nothing')}, which contradicts the data set of "
            f"{run.name!r} (dataset){others}; allowed: the value of that run, {then.get(first, 'none')}"
        )


def _check_image(config: Mapping[str, Any], run: Path) -> None:
    """Refuse images whose size or pixel differs from those of another run's network and baselines."""
    then: Mapping[str, Any] = _recorded(run).get("image", {})
    for key in ("sampling_angstrom", "pixels"):
        if key in then and config["image"][key] != then[key]:
            raise InputError(
                f"configuration: image.{key}: found {config['image'][key]}, which contradicts the network and the "
                f"baselines of {run.name!r} (trained); allowed: as they were made, {then[key]}"
            )


def trained_settings(config: Mapping[str, Any], results: Path = Path("results")) -> dict[str, Any]:
    """
    Find the settings with which another run made the network that this run takes.

    Parameters
    ----------
    config, results
        Arguments as in `check_other_runs`.

    Returns
    -------
    dict
        Sections of the configuration of that training, which replace those of this run. Empty if this run trains its
        own network, or the weights do not say.
    """
    if "trained" not in config:
        return {}
    described = described_weights(results / config["trained"] / WEIGHTS)
    if not described:
        return {}
    found = {key: {**config[key], **_common(config[key], described[key])} for key in ("model", "training")}
    found["noise"] = {**config["noise"], "training_dose": described["noise"]["dose"]}
    return one_form(found)


def _common(section: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key in section}


def described_weights(weights: Path) -> dict[str, Any]:
    """Read the description of the training in a file of weights, without torch; empty if there is none."""
    try:
        found = json.loads(read_safetensors_header(weights)["description"])
        complete = all(isinstance(found[key], dict) for key in ("model", "training", "noise"))
        return found if complete and found["noise"]["dose"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Read a part of a JSON file; empty if it does not exist."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            found = found[key]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their nested keys, joined with dots."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flat(child, f"{path}.{key}" if path else key)
    else:
        yield path, value
