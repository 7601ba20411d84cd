"""The plan of a run as tables for a terminal."""

from collections.abc import Sequence
from textwrap import wrap

from iphasenet.base.files import format_bytes
from iphasenet.base.quantities import counted
from iphasenet.planning.plan import RunPlan

_WIDTH = 100
"""Largest number of characters in a line of text."""

_UNITS = (("s", 1), ("min", 60), ("h", 3600))


def plan_text(plan: RunPlan) -> str:
    """
    Describe a plan.

    Parameters
    ----------
    plan : RunPlan
        Plan with its estimates.

    Returns
    -------
    str
        Lines of at most 100 characters for names of usual length.
    """
    sections = (_heading(plan), _simulations(plan), _times(plan), _disk(plan), _memory(plan))
    return "\n\n".join("\n".join(section) for section in sections)


def duration(seconds: float) -> str:
    """Time in seconds, minutes or hours."""
    unit, scale = next((unit, scale) for unit, scale in _UNITS if seconds < 99.5 * scale or unit == "h")
    value = seconds / scale
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows in columns: the first aligned left, the others right, with a line below the first row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) if index else cell.ljust(width) for index, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return [lines[0], "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])]


def _heading(plan: RunPlan) -> list[str]:
    jobs = [f"{count:,} {rule}" for rule, count in plan.jobs.items()]
    lines = [", ".join(jobs[start : start + 4]) for start in range(0, len(jobs), 4)]
    splits = ", ".join(f"{count:,} {split}" for split, count in plan.samples.items())
    counted_samples = [f"samples  {sum(plan.samples.values()):,}: {splits}"] if plan.samples else []
    return [
        f"Plan of the whole run {plan.run!r}, whatever is there already",
        "",
        *counted_samples,
        f"jobs     {sum(plan.jobs.values()):,}: " + ",\n         ".join(lines),
    ]


def _simulations(plan: RunPlan) -> list[str]:
    if not plan.materials:
        return ["The data set is another run's: nothing is simulated"]
    rows = [("material", "jobs", "plane waves", "slices", "method", "s a tilt", "simulation", "rendering")]
    for material in plan.materials:
        cost = material.tilt
        counts = ("-",) * 4
        if cost is not None:
            tilt = f"{cost.seconds:,.{0 if cost.seconds > 99.5 else 1}f}"
            counts = (f"{cost.waves:,}", f"{cost.slices:,}", cost.method, tilt)
        rendering = "-" if material.rendering is None else duration(material.rendering)
        rows.append((material.name, f"{material.jobs:,}", *counts, duration(material.simulation), rendering))
    lines = _table(rows)
    if plan.crystals > len(plan.materials):
        lines += wrap(
            f"{len(plan.materials)} of the {plan.crystals:,} materials, drawn at random, were measured; times of all "
            "are scaled from theirs.",
            _WIDTH,
        )
    passes = {material.tilt.passes for material in plan.materials if material.tilt is not None} - {0}
    if passes:
        lines += wrap(
            f"Atoms move: times are those of {counted(max(passes), 'pass', 'passes')} through them, with all coarse "
            "ones that are allowed. How many a tilt needs, up to simulation.multislice.thermal_passes, depends on "
            "the noise that thermal_noise allows.",
            _WIDTH,
        )
    slabs = sum(material.slabs for material in plan.materials)
    if slabs:
        lines.append(f"And {slabs:,} slabs of atoms, one job each: longer than a tilt, by how much is not estimated")
    return lines


def _times(plan: RunPlan) -> list[str]:
    training = plan.training
    rows: list[tuple[str, ...]] = [("time", "one core", f"{plan.cores} core{'s' if plan.cores > 1 else ''}")]
    measured = []
    if plan.materials:
        rows.append(("simulation", *map(duration, plan.simulation)))
        measured.append(f"a few slices or products of each crystal ({plan.device})")
    if plan.renders:
        rows.append(("rendering", *map(duration, plan.rendering)))
        measured.append("some samples")
    if training is not None:
        rows.append((f"training, {training.epochs} epochs", "", duration(training.seconds)))
        measured.append(f"a step of the network on few pixels ({training.device})")
    lines = [*_table(rows), *wrap(f"Scaled from short measurements here: {', '.join(measured)}.", _WIDTH)]
    if training is None:
        lines.append("The network is another run's: nothing is trained.")
    elif plan.training_gpus and training.device == "cpu":
        lines.append(f"The training asks for {plan.training_gpus} GPU(s); this machine has none, and is far slower.")
    return lines


def _disk(plan: RunPlan) -> list[str]:
    rows = [("disk, before compression", "size", "after the run")]
    for name in dict.fromkeys(part.name for part in plan.parts):
        parts = [part for part in plan.parts if part.name == name]
        kept = "not needed" if parts[0].passing else "kept"
        rows.append((name, format_bytes(sum(part.size for part in parts)), kept))
    rows.append(("all", format_bytes(sum(part.size for part in plan.parts)), ""))
    verdict = "enough" if plan.needed <= plan.free else "NOT ENOUGH"
    free = f"{format_bytes(plan.free)} free in {plan.place}"
    return [*_table(rows), f"Still to be filled, at most: {format_bytes(plan.needed)}; {free}: {verdict}"]


def _memory(plan: RunPlan) -> list[str]:
    rows = [("memory", "size", "reserved by")]
    if plan.materials:
        rows.append(("simulation job, at most", format_bytes(plan.job_bytes), "simulation.multislice.memory_mb"))
    if plan.training is not None:
        reserved = f"jobs.training_mem_mb, {format_bytes(plan.reserved_bytes)}"
        rows.append(("training", format_bytes(plan.training_bytes), reserved))
        if plan.training_gpus:
            images = f"and {format_bytes(plan.training.gpu_images_bytes)} of images, if half of it holds them"
            each = (format_bytes(plan.training.step_bytes), images if plan.training.gpu_images_bytes else "")
            rows.append(("training, each GPU", *each))
    lines = _table(rows)
    if plan.training_bytes > plan.reserved_bytes:
        lines.append("Training needs more than is reserved: raise jobs.training_mem_mb or lower the batch size")
    return lines
