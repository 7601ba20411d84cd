"""Images, a crystal and what is known of them, as the options of commands that fit say."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ase import Atoms

from iphasenet.base.errors import InputError
from iphasenet.commands.recorded_image import beam_intensity, check_file_options, read_recorded
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.fitting.limits import Limits, parse_range
from iphasenet.fitting.start_network import Start
from iphasenet.fitting.task import Task
from iphasenet.microscope_files.segmented_image import SegmentedImage

_RANGES = ("thickness", "defocus", "source_size", "scale", "displacement")
_FIELDS = {"thickness": "thickness_nm", "defocus": "defocus_angstrom", "source_size": "source_size_angstrom"}


def read_images(options: argparse.Namespace) -> SegmentedImage:
    """Read the images; what a file says about the crystal is not used, because it is to be found."""
    check_file_options(options)
    image = read_recorded(options, {"thickness_nm": None, "tilt_deg": None, "rotation_deg": None})
    text = options.beam_intensity
    return image if text is None else replace(image, beam_intensity=beam_intensity(text, "a number"))


def read_cell(structure: Path, options: argparse.Namespace) -> Atoms:
    """Read a structure and cut its orthogonal cell."""
    crystal = read_structure(structure, None, options.temperature, dict(options.rms_displacement))
    return orthogonal_cell(crystal, tuple(options.zone_axis), options.max_strain)


def limits_of(options: argparse.Namespace, **more: Any) -> Limits:
    """
    Read the ranges.

    Parameters
    ----------
    options : argparse.Namespace
        Options of `iphasenet.commands.options.fit.add_ranges`, and perhaps more.
    **more
        Further fields of the limits.
    """
    texts = {name: getattr(options, name, None) for name in _RANGES}
    given: dict[str, Any] = {
        _FIELDS.get(name, name): parse_range(text, f"--{name.replace('_', '-')}")
        for name, text in texts.items()
        if text is not None
    }
    return Limits(tilt_deg=tuple(options.tilt), tilt_reach_deg=options.tilt_range, **given, **more)


def with_starts(tasks: Sequence[Task], starts: Sequence[tuple[Path, Start]]) -> list[Task]:
    """Give each fit the network that knows its crystal and microscope, if there is one; refuse networks for no fit."""
    known = [[start.knows(task.cell, task.microscope) for _, start in starts] for task in tasks]
    for number, (path, _) in enumerate(starts):
        if not any(row[number] for row in known):
            raise InputError(
                f"--start: {path}: found a network for another crystal, temperature or microscope; allowed: one that "
                "iphasenet train-start made with these options"
            )
    found = [next((start for (_, start), knows in zip(starts, row, strict=True) if knows), None) for row in known]
    return [replace(task, start=start) for task, start in zip(tasks, found, strict=True)]
