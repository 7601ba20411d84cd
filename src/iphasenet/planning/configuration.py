"""Check of the configuration before anything runs, with rules that the schema cannot express."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.microscope.acquisition import Acquisition, FixedNoise, TrainingNoise
from iphasenet.microscope.optics import Microscope, sampling_limit
from iphasenet.network.column_settings import holds_columns
from iphasenet.planning.configuration_form import check_form
from iphasenet.planning.corpus_materials import with_corpus
from iphasenet.planning.field_settings import FieldTest
from iphasenet.planning.job_resources import training_processes
from iphasenet.planning.materials import crystals, selected_materials
from iphasenet.planning.settings import Simulation
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import SPLITS, Grid, Split
from iphasenet.training.column_settings import ColumnNetworkSettings
from iphasenet.training.settings import TrainingSettings

_MOST_TILTS, _MOST_IMAGES = 50_000, 10_000_000

_NAMED = 10
"""Number of materials that a message names."""
"""Largest numbers of tilts and of simulated images of a run, over all materials."""


def check_configuration(config: Mapping[str, Any], folder: str | Path = ".") -> None:
    """
    Refuse a configuration that could not run.

    Parameters
    ----------
    config : mapping
        Configuration.
    folder : path
        Folder to which the paths in the configuration are relative.

    Raises
    ------
    InputError
        One line that names the key, what was found and what is allowed.
    """
    _refuse_three_angles(config.get("reconstruction"))
    check_form(config)
    config, splits = with_corpus(config, Path(folder))
    _check_materials(config, Path(folder))
    _check_amount(config)
    noise = config["noise"]
    acquisition = Acquisition(**noise["acquisition"])
    FixedNoise(noise["evaluation_doses"], acquisition)
    TrainingNoise(noise["training_dose"], acquisition)
    microscope = PlannedOptics.of(config).widest
    _check_multislice(config, microscope)
    _check_training(config, microscope)
    _check_evaluation(config)
    if "column_network" in config:
        _check_columns(config, splits)
    if "field_test" in config:
        _check_field(config, Path(folder))


def _check_columns(config: Mapping[str, Any], splits: Mapping[str, Split]) -> None:
    """Refuse a network for any crystal that could not be trained, before anything is simulated."""
    training, key = ColumnNetworkSettings(**config["column_network"]).training, "configuration: column_network"
    if not Grid(**config["grid"]).all_periodic:
        raise InputError(f"{key}: found crystals without periodic images (any orientation, edges or wedges); "
                         "allowed: grid.orientation 'tilt', without them")  # fmt: skip
    if "trained" in config:
        raise InputError(
            f"{key}: found trained {config['trained']!r}, which has no effect here; allowed: "
            "column_network.training.start to begin with earlier weights"
        )
    if training.start is not None and not holds_columns(training.start):
        raise InputError(
            f"{key}.training.start: found {training.start!r}; allowed: weights of a network for any crystal"
        )
    if config["training"].get("leave_out", {}).get("thickness_nm"):
        raise InputError(f"{key}: found training.leave_out.thickness_nm, which has no effect here; allowed: []")
    if training.batch_size > training.crops_per_epoch:
        raise InputError(
            f"{key}.training.batch_size: found {training.batch_size}; allowed: at most crops_per_epoch, "
            f"{training.crops_per_epoch}"
        )
    found = {splits[name] for name in selected_materials(config)}
    lacking = [split for split in SPLITS if split not in found]
    if lacking:
        raise InputError(
            f"{key}: found no crystal in the split '{lacking[0]}'; allowed: at least one in each of "
            f"{', '.join(SPLITS)}: give `corpus`, and in `select` crystals of each"
        )


def _check_field(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse a field test that could not run."""
    test, key = FieldTest(**config["field_test"]), "configuration: field_test"
    if "column_network" in config:
        raise InputError(f"{key}: found column_network, too; allowed: one of them in a run")
    names = selected_materials(config)
    unknown = [name for _, name in test.materials if name not in names]
    if unknown:
        raise InputError(f"{key}: found {unknown[0]!r}; allowed: materials of the run, {', '.join(names)}")
    for name, is_any in (("weights", False), ("any_weights", True)):
        path = folder / getattr(test, name)
        if not path.is_file():
            raise InputError(f"{key}.{name}: found {getattr(test, name)!r}, which does not exist; allowed: weights")
        if holds_columns(path) != is_any:
            kind = "for any crystal" if is_any else "of a few crystals"
            raise InputError(f"{key}.{name}: found {getattr(test, name)!r}; allowed: weights of a network {kind}")
    microscope = Microscope(**config["optics"])
    for energy in test.energies_kev:
        reach = replace(microscope, energy_kev=energy).reach
        for place, numerics in (
            ("simulation.multislice", Simulation(**config["simulation"]).multislice),
            ("field_test.cell_multislice", test.cell_multislice),
        ):
            if numerics.sampling_angstrom > sampling_limit(reach):
                raise InputError(
                    f"configuration: {place}.sampling_angstrom: found {numerics.sampling_angstrom:g} at {energy:g} "
                    f"keV; allowed: at most {sampling_limit(reach):.4f}"
                )


def _refuse_three_angles(reconstruction: Any) -> None:
    """Refuse a `rotation_deg` of three angles, as in earlier versions; the form of the section is not checked yet."""
    section = reconstruction if isinstance(reconstruction, Mapping) else {}
    own = section.get("own")
    images = own if isinstance(own, Mapping) else {}
    groups = {"settings": section.get("settings"), **{f"own.{name}": group for name, group in images.items()}}
    for place, group in groups.items():
        angles = group.get("rotation_deg") if isinstance(group, Mapping) else None
        if isinstance(angles, list) and len(angles) == 3 and all(type(angle) in (int, float) for angle in angles):
            raise InputError(
                "configuration: reconstruction.{}.rotation_deg takes gamma alone: write tilt_deg: [{}, {}] and "
                "rotation_deg: {}".format(place, *angles)
            )


def _check_materials(config: Mapping[str, Any], folder: Path) -> None:
    for name, material in config["materials"].items():
        if not (folder / material["cif"]).is_file():
            raise InputError(
                f"configuration: materials.{name}.cif: found {material['cif']!r}, which does not exist; "
                "allowed: path of a CIF file"
            )
        if not {"zone_axis", "zone_axes"} & set(material):
            raise InputError(f"configuration: materials.{name}.zone_axis is missing: give it, or several as zone_axes")
    for name, crystal in crystals(config).items():
        if not any(crystal["zone_axis"]):
            raise InputError(f"configuration: materials.{name}.zone_axis: found [0, 0, 0]; allowed: a direction")
    unknown = sorted(set(config.get("select", [])) - set(config["materials"]) - set(crystals(config)))
    if unknown:
        allowed = list(dict.fromkeys([*config["materials"], *crystals(config)]))
        close = get_close_matches(unknown[0], allowed, 3)
        hint = f" (perhaps {' or '.join(close)})" if close else ""
        more = f" and {len(allowed) - _NAMED} more" if len(allowed) > _NAMED else ""
        named = ", ".join(allowed[:_NAMED])
        raise InputError(f"configuration: select: found {unknown[0]!r}{hint}; allowed: {named}{more}")


def _check_amount(config: Mapping[str, Any]) -> None:
    """Refuse grids so large that planning alone takes hours: each number may be allowed, but not their product."""
    grid, materials = Grid(**config["grid"]), len(selected_materials(config))
    tilts = materials * grid.tilts
    images = tilts * (grid.rotations + grid.rendered_rotations) * len(grid.thickness_nm)
    for found, most, factors in (
        (tilts, _MOST_TILTS, "tilts"),
        (images, _MOST_IMAGES, "tilts x (rotations + rendered_rotations) x thickness_nm"),
    ):
        if found > most:
            raise InputError(
                f"configuration: grid: found {found:,} of materials x {factors}; allowed: at most {most:,} in a run"
            )


def _check_multislice(config: Mapping[str, Any], microscope: Microscope) -> None:
    pixel = Simulation(**config["simulation"]).multislice.sampling_angstrom
    key = "configuration: simulation.multislice"
    limit = sampling_limit(microscope.reach)
    if pixel > limit:
        raise InputError(
            f"{key}.sampling_angstrom: found {pixel}; allowed: at most {limit:.4f}, so that its "
            f"band limit holds optics.detector_outer_mrad {microscope.detector_outer_mrad} and optics.semiangle_mrad "
            f"{microscope.semiangle_mrad}"
        )


def _check_training(config: Mapping[str, Any], microscope: Microscope) -> None:
    training, grid = TrainingSettings(**config["training"]), Grid(**config["grid"])
    training.check_image(config["image"]["pixels"])
    training.check_processes(training_processes(config), config["model"]["norm"])
    if config["model"]["projection"] == "columns" and grid.orientation != "tilt":
        raise InputError(
            f"configuration: model.projection: found 'columns' with grid.orientation {grid.orientation!r}, where "
            "crystals have no straight columns; allowed: direct"
        )
    if training.source == "rendered" and not grid.all_periodic:
        raise InputError(
            "configuration: training.source: found 'rendered' with crystals that have no periodic images (any "
            "orientation, edges or wedges); allowed: stored"
        )
    if training.augmentation != "none" and not microscope.is_round:
        raise InputError(
            f"configuration: training.augmentation: found {training.augmentation!r} with aberrations that have a "
            "direction, which would turn with the image; allowed: none"
        )
    if config["model"]["uncertainty"] != (training.loss.spread > 0):
        raise InputError(
            f"configuration: training.loss.spread: found {training.loss.spread:g} with model.uncertainty "
            f"{str(config['model']['uncertainty']).lower()}; allowed: above 0 with an uncertainty, 0 without"
        )


def _check_evaluation(config: Mapping[str, Any]) -> None:
    grid, settings = Grid(**config["grid"]), TrainingSettings(**config["training"])
    if "trained" in config and "dataset" in config:
        raise InputError("configuration: trained and dataset: found both; give one of them")
    for key in ("trained", "dataset"):
        if config.get(key) == config["run"]:
            raise InputError(f"configuration: {key}: found {config[key]!r}, this run; allowed: another run's name")
    needed = {"test"} if "trained" in config else set(SPLITS)
    if not needed <= set(grid.splits):
        raise InputError(
            f"configuration: grid.splits: found {list(grid.splits)}; allowed: all of {', '.join(SPLITS)}, or, where "
            "`trained` names another run's network, at least test"
        )
    left_out, names = settings.leave_out, selected_materials(config)
    known = left_out.mask("", np.array(grid.thickness_nm))
    if set(left_out.materials) - set(names) or not set(names) - set(left_out.materials):
        raise InputError(
            f"configuration: training.leave_out.materials: found {list(left_out.materials)}; allowed: some of "
            f"{', '.join(names)}, not all"
        )
    if known.sum() != len(left_out.thickness_nm) or known.all():
        raise InputError(
            f"configuration: training.leave_out.thickness_nm: found {list(left_out.thickness_nm)}; allowed: some of "
            f"grid.thickness_nm, {list(grid.thickness_nm)}, not all"
        )
    if config["evaluation"]["window_factors"] and not grid.all_periodic:
        raise InputError(
            "configuration: evaluation.window_factors: found windows with crystals that have no small cell (any "
            "orientation, edges or wedges); allowed: []"
        )


def temperature(config: Mapping[str, Any]) -> float:
    """Temperature of the atoms' motion [K]; 0, atoms at rest, where a configuration does not say."""
    return float(config["simulation"].get("temperature_k", 0))


def planned_optics(config: Mapping[str, Any]) -> dict[str, Any]:
    """Optics of a run's images, as the parameter of a job: `optics`, and `drawn_optics` if they are drawn."""
    # Without drawn optics the parameter has its earlier form, so that nothing is simulated again.
    optics: dict[str, Any] = config["optics"]
    return {"optics": optics, "drawn_optics": config["drawn_optics"]} if "drawn_optics" in config else optics


def accuracy_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Select what images depend on of the multislice's settings: not its memory, and passes only if atoms move."""
    idle = ("memory_mb",) if temperature(config) else ("memory_mb", "thermal_")
    numerics = config["simulation"]["multislice"]
    return {key: value for key, value in numerics.items() if not key.startswith(idle)}


def potential_image_sampling(config: Mapping[str, Any]) -> float:
    """Smallest pixel of images for which a potential is made [Å]; a change of larger pixels remakes no potential."""
    return min(0.1, float(config["image"]["sampling_angstrom"]))
