"""Materials of a configuration, with one zone axis each, and which of them a run has."""

from collections.abc import Mapping
from typing import Any


def crystals(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """
    Name every zone axis of every material.

    Parameters
    ----------
    config : mapping
        Configuration.

    Returns
    -------
    dict
        Entries with one `zone_axis` each; a material with several `zone_axes` becomes GaN_100, GaN_1-10 and so on.
    """
    result = {}
    for name, material in config["materials"].items():
        single = {key: value for key, value in material.items() if key != "zone_axes"}
        for axis in material.get("zone_axes", []):
            result[f"{name}_{''.join(map(str, axis))}"] = {**single, "zone_axis": list(axis)}
        if "zone_axes" not in material:
            result[name] = single
    return result


def selected_materials(config: Mapping[str, Any]) -> list[str]:
    """Materials of a run with all zone axes of each: those in `select`, or all."""
    names = list(crystals(config))
    chosen = set(config.get("select", names))
    return [name for name in names if {name, name.split("_")[0]} & chosen]
