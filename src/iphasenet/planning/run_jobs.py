"""List of the jobs of a run, by which they are planned before it and their cost is added up after it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from iphasenet.simulation.grid import Grid, orientations


def run_jobs(
    config: Mapping[str, Any], materials: Collection[str], images: Collection[str] = ()
) -> dict[str, list[str]]:
    """
    List the jobs of a run.

    Parameters
    ----------
    config : mapping
        Checked configuration.
    materials : collection of str
        Materials of the run.
    images : collection of str
        Names of the user's images that the run reconstructs.

    Returns
    -------
    dict
        Names of the jobs by rule; they are those of their benchmark files, without the ending. Rules without jobs, and
        jobs whose results come from another run, are left out.
    """
    if "column_network" in config:
        return {rule: list(names) for rule, names in _column_jobs(config, materials, images).items() if names}
    makes_data, trains = "dataset" not in config, "trained" not in config
    windows = materials if config["evaluation"]["window_factors"] else ()
    jobs: dict[str, Iterable[str]] = {
        "compute_potential": materials if makes_data else (),
        **(_simulations(config, materials) if makes_data else {}),
        "render_samples": materials if makes_data else (),
        **_single(("assemble_dataset", "describe_dataset"), makes_data),
        **_single(("upload_dataset",), makes_data and "storage" in config),
        **_single(("train_model", "fit_baselines", "describe_model", "draw_loss"), trains),
        **dict.fromkeys(("predict_samples", "evaluate_samples", "draw_material"), materials),
        **_single(("summarise_scores", "draw_samples", "draw_predictions", "draw_evaluation", "write_report"), True),
        **_single(("compare_runs",), bool(config.get("compare"))),
        **_single(("draw_calibration",), config["model"]["uncertainty"]),
        "compare_windows": windows,
        **_single(("draw_windows",), bool(windows)),
        "reconstruct_image": images,
    }
    return {rule: list(names) for rule, names in jobs.items() if names}


def _column_jobs(
    config: Mapping[str, Any], materials: Collection[str], images: Collection[str]
) -> dict[str, Iterable[str]]:
    """Jobs of a run that trains the network for any crystal: it renders no samples."""
    made = {} if "dataset" in config else {"compute_potential": materials, **_simulations(config, materials)}
    return {**made, **_single(("train_columns", "score_columns"), True), "reconstruct_image": images}


def _single(rules: Iterable[str], is_there: bool) -> dict[str, Iterable[str]]:
    """Rules with one job, which has the name of the rule."""
    return {rule: (rule,) for rule in rules if is_there}


def _simulations(config: Mapping[str, Any], materials: Collection[str]) -> dict[str, Iterable[str]]:
    grid, size = Grid(**config["grid"]), config["jobs"]["tilts_per_job"]
    every = [(name, one) for name in materials for one in orientations(config["seed"], name, grid)]
    batches = [f"{name}-batch{one.index // size}" for name, one in every if one.is_periodic]
    slabs = [f"{name}-tilt{one.index}" for name, one in every if not one.is_periodic]
    return {"simulate_images": tuple(dict.fromkeys(batches)), "simulate_slabs": slabs}
