"""Fields of dataclasses that have better names today than those under which jobs and trainings are known.

Snakemake compares the text of a job's samples, and a training finds its checkpoints by a checksum of all that it reads:
a name that changed in either would make finished work again. A field says itself what it is recorded as.
"""

from dataclasses import Field, fields, is_dataclass
from typing import Any

_KEY = "recorded as"


def recorded_as(name: str) -> dict[str, str]:
    """Metadata of a dataclass's field that is recorded under another name."""
    return {_KEY: name}


def recorded_name(field: Field[Any]) -> str:
    """Name under which a field is recorded: its own, unless it says another."""
    return str(field.metadata.get(_KEY, field.name))


def recorded_text(value: Any) -> str:
    """Text of a value as `repr` has it, the fields of dataclasses under the names that they are recorded as."""
    if not is_dataclass(value):
        return repr(value)
    parts = (f"{recorded_name(field)}={recorded_text(getattr(value, field.name))}" for field in fields(value))
    return f"{type(value).__qualname__}({', '.join(parts)})"
