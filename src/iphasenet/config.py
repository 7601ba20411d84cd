"""Check of the configuration, before anything runs."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from iphasenet.errors import InputError
from iphasenet.noise import Noise
from iphasenet.optics import Microscope
from iphasenet.sampling import Grid


def check_configuration(config: Mapping[str, Any], schema: str | Path, folder: str | Path = ".") -> None:
    """
    Refuse a configuration that could not run.

    Parameters
    ----------
    config : mapping
        Configuration.
    schema : path
        JSON schema (YAML) of the configuration.
    folder : path
        Folder that the paths in the configuration are relative to.

    Raises
    ------
    InputError
        One line that names the key, what was found and what is allowed.
    """
    rules = yaml.safe_load(Path(schema).read_text())
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rules).iter_errors(dict(config)))
    if error is not None:
        raise InputError(_one_line(error))
    for name, material in config["materials"].items():
        if not (Path(folder) / material["cif"]).is_file():
            raise InputError(
                f"configuration: materials.{name}.cif: found {material['cif']!r}, which does not exist; "
                "allowed: path of a CIF file"
            )
    unknown = sorted(set(config.get("select", [])) - set(config["materials"]))
    if unknown:
        allowed = ", ".join(config["materials"])
        raise InputError(f"configuration: select: found {unknown[0]!r}; allowed: {allowed}")
    Grid(**config["grid"])
    Noise(**config["noise"])
    Microscope(**config["optics"])


def selected_materials(config: Mapping[str, Any]) -> list[str]:
    """Materials of a run: `select`, or all."""
    return list(config.get("select", config["materials"]))


def sorted_keys(value: Any) -> Any:
    """Copy of a configuration with its keys in order: jobs must not run again because keys were moved."""
    if isinstance(value, Mapping):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return value


def _one_line(error: jsonschema.ValidationError) -> str:
    path = [str(part) for part in error.absolute_path]
    if error.validator == "additionalProperties":
        allowed = list(error.schema["properties"])
        found = next(key for key in error.instance if key not in allowed)
        close = difflib.get_close_matches(found, allowed, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"configuration: {'.'.join([*path, found])}: unknown key{hint}; allowed: {', '.join(allowed)}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"configuration: {'.'.join([*path, missing])}: found nothing; allowed: a value is required"
    return f"configuration: {'.'.join(path)}: found {error.instance!r}; allowed: {_allowed(error)}"


_ALLOWED = {
    "type": "type {}",
    "enum": "one of {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "minProperties": "at least {} entries",
    "pattern": "text that matches {}",
}


def _allowed(error: jsonschema.ValidationError) -> str:
    template = _ALLOWED.get(str(error.validator))
    return template.format(error.validator_value) if template else error.message
