"""Earlier names of fields of dataclasses, under which jobs and trainings are recorded.

Snakemake compares the text of a job's samples, and a training finds its checkpoints by a checksum of its inputs. If the
name of a field changed in either, finished work would be done again. The metadata of a field therefore hold its earlier
name.
"""

from dataclasses import Field, fields, is_dataclass
from typing import Any

_KEY = "recorded as"


def recorded_as(name: str) -> dict[str, str]:
    """Make the metadata of a field that is recorded under another name."""
    return {_KEY: name}


def recorded_name(field: Field[Any]) -> str:
    """Name under which a field is recorded: that in its metadata, or its own."""
    return str(field.metadata.get(_KEY, field.name))


def recorded_text(value: Any) -> str:
    """Text of a value like that of `repr`, but with the recorded names of the fields of dataclasses."""
    if not is_dataclass(value):
        return repr(value)
    parts = (f"{recorded_name(field)}={recorded_text(getattr(value, field.name))}" for field in fields(value))
    return f"{type(value).__qualname__}({', '.join(parts)})"
