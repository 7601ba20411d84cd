"""Pages that are made from the settings: the JSON schema for editors, and the tables of config/README.md.

python -m iphasenet.planning.configuration_pages
"""

import math
import re
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from iphasenet.base.files import atomic_file
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Described, Setting, Settings, described, entry_of, is_mapping, is_settings, is_union
from iphasenet.planning.configuration_schema import configuration_schema
from iphasenet.planning.settings import Configuration

SCHEMA = Path("workflow/schemas/config.schema.yaml")
README = Path("config/README.md")

_HEAD = "# Made by `make settings` from the dataclasses of settings (iphasenet.planning.settings): edit those.\n"
_ABSURD = 1e6
"""Limits beyond this number only catch mistakes, and the tables do not show them."""

_TABLE = re.compile(r"(<!-- settings:(?: (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def schema_page() -> str:
    """Write the JSON schema as YAML."""
    plain = yaml.safe_dump(configuration_schema(), sort_keys=False, allow_unicode=True, width=120)
    return _HEAD + str(plain)


def readme_page(text: str) -> str:
    """
    Fill the tables of a page.

    Parameters
    ----------
    text : str
        Page with `<!-- settings: grid -->` and `<!-- end -->` around the table of a section; the table of the top level
        has `<!-- settings: -->`, that of a material `<!-- settings: materials -->`.
    """
    return _TABLE.sub(lambda match: match[1] + _table(match[2]) + match[3], text)


def _table(section: str | None) -> str:
    kind: type[Settings] = Configuration
    if section:
        kind = next(_classes(one.kind) for one in described(Configuration) if one.name == section)
    rows = [f"| `{key}` | {_values(one.kind, one.setting)} | {_meaning(one)} |" for key, one in _rows(kind)]
    return "\n".join(["| key | values | meaning |", "|---|---|---|", *rows, ""])


def _rows(kind: type[Settings], prefix: str = "") -> Iterator[tuple[str, Described]]:
    """Keys of a section and of its parts; the top-level sections have separate tables."""
    for one in described(kind):
        if not one.setting.key or (kind is Configuration and is_settings(one.kind)):
            continue
        key = f"{prefix}{one.name}"
        if is_settings(one.kind):
            yield from _rows(one.kind, f"{key}.")
        else:
            yield key, one


def _classes(kind: Any) -> Any:
    """Dataclass of a section, or of each entry of a mapping such as `materials`."""
    return kind if is_settings(kind) else get_args(kind)[1]


def _meaning(one: Described) -> str:
    if one.required:
        return one.setting.meaning
    default = "" if one.default in (None, MISSING, {}) else f", {_shown(one.default)} if absent"
    return f"Optional{default}. {one.setting.meaning}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"{value:g}" if isinstance(value, float) else f"`{value}`" if isinstance(value, str) else str(value)


def _values(kind: Any, setting: Setting) -> str:
    """Describe the values that a key takes in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if is_union(kind):
        return " or ".join(_values(part, setting) for part in inner)
    if origin is tuple:
        entry, own = entry_of(inner[0], setting)
        count = "list of" if inner[-1] is ... else f"{len(inner)} of:"
        return f"{count} {_values(entry, own)}"
    if is_mapping(kind):
        part, own = entry_of(inner[1], setting)
        return "by name" if is_settings(part) else f"by name: {_values(part, own)}"
    if kind is bool:
        return "`true`, `false`"
    if kind is str:
        return "text"
    return _number(setting.configured or setting.quantity or Quantity("", -math.inf, math.inf))


def _number(quantity: Quantity) -> str:
    """Write unit and range of a number; limits that only catch mistakes are left out."""
    low = "" if quantity.low <= -_ABSURD else f"above {quantity.low:g}" if quantity.above else f"{quantity.low:,g}"
    high = "" if quantity.high >= _ABSURD else f"below {quantity.high:g}" if quantity.below else f"{quantity.high:,g}"
    if low and high:
        limits = f"{low} to {high}"
    elif low:
        limits = low if quantity.above else f"from {low}"
    else:
        limits = "number"
    step = f"in steps of {quantity.step}" if quantity.step > 1 else ""
    return " ".join(filter(None, ["0, or" if quantity.or_zero else "", limits, quantity.unit, step]))


def main(root: Path = Path()) -> None:
    """Write schema and tables below the repository's root."""
    pages = {SCHEMA: schema_page(), README: readme_page((root / README).read_text(encoding="utf-8"))}
    for path, text in pages.items():
        with atomic_file(root / path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
