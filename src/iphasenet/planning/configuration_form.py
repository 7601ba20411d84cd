"""Checks of the form of a configuration: values without errors, each key once, and the rules of the schema."""

import difflib
import math
import os
import re
import reprlib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from iphasenet.base.errors import InputError
from iphasenet.planning.configuration_schema import configuration_schema

_DEEPEST, _MOST = 20, 100_000
"""Largest numbers of levels and values of a configuration; more are a mistake and would take minutes to check."""

_DIGITS = 30
"""Largest number of digits of an integer; no setting has a meaning with more."""

_EXACT = 2**53
"""Floating point holds every whole number below this one."""

_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Characters that neither a path nor a report can hold: control characters and halves of characters."""

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 100
_SHOWN.maxlist = _SHOWN.maxdict = 20


def check_form(config: Mapping[str, Any]) -> None:
    """
    Refuse a configuration whose keys or values the schema does not allow.

    Parameters
    ----------
    config : mapping
        Configuration.

    Raises
    ------
    InputError
        One line that names the key, what was found and what is allowed.
    """
    _check_values(config)
    error = jsonschema.exceptions.best_match(_Validator(configuration_schema()).iter_errors(dict(config)))
    if error is not None:
        raise InputError(_one_line(error))


def one_form(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give configurations with the same meaning the same form, so that jobs run again only if the meaning changes.

    Parameters
    ----------
    config : mapping
        Configuration that `check_form` accepts. Keywords of its schema set the form: an `unordered` list is sorted and
        holds each entry once; entries 0 of a mapping that is `zero_if_absent` are left out; a key has its default, or
        0, while other keys have the values at which it is `without_effect`; a `direction` has the smallest whole
        numbers; a `path` is written in the shortest way.

    Returns
    -------
    dict
        Copy with sorted keys and whole numbers as integers, without keys whose value is the schema's `default`, because
        an absent key means the same.
    """
    found: dict[str, Any] = _one_form(config, configuration_schema())
    return found


def _one_form(value: Any, rules: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        named, others = rules.get("properties", {}), rules.get("additionalProperties")
        any_other = others if isinstance(others, Mapping) else {}
        parts = {key: named.get(key, any_other) for key in sorted(value)}
        idle = {key for key, others in rules.get("without_effect", {}).items() if _are(value, others, rules)}
        formed = {
            key: _one_form(part.get("default", 0) if key in idle else value[key], part) for key, part in parts.items()
        }
        return {
            key: child
            for key, child in formed.items()
            if ("default" not in parts[key] or child != _one_form(parts[key]["default"], parts[key]))
            and not (rules.get("zero_if_absent") and child == 0)
        }
    if isinstance(value, list):
        entries = [_one_form(entry, rules.get("items", {})) for entry in value]
        if rules.get("direction") and (divisor := math.gcd(*entries)):
            entries = [entry // divisor for entry in entries]
        return [entry for entry, _ in groupby(sorted(entries))] if rules.get("unordered") else entries
    if rules.get("path"):
        return os.path.normpath(value)
    # In YAML, 20, 20.0 and 2.0e+1 are the same number.
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def _are(value: Mapping[str, Any], others: Mapping[str, Any], rules: Mapping[str, Any]) -> bool:
    """Whether keys of a mapping have certain values, given or by default."""
    named = rules.get("properties", {})
    return all(value.get(key, named.get(key, {}).get("default", 0)) == other for key, other in others.items())


def check_keys(path: str | Path) -> None:
    """Refuse a file that holds a key twice, because YAML would take the last one without a warning."""
    text = Path(path).read_text(encoding="utf-8")
    left = [("", yaml.compose(text, yaml.SafeLoader))]
    done: set[int] = set()
    # In a template of yte, several branches may hold the same key.
    while left and "__use_yte__" not in text:
        prefix, node = left.pop()
        if not isinstance(node, yaml.MappingNode) or id(node) in done:
            continue
        done.add(id(node))
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                where = f"{path}, lines {lines[name]} and {line}"
                raise InputError(f"configuration: {prefix}{name}: found twice in {where}; allowed: once")
            lines[name] = line
            left.append((f"{prefix}{name}.", value))


def _check_values(config: Mapping[str, Any]) -> None:
    """Refuse values that no key can have, before the schema is applied."""
    left: list[tuple[tuple[str, ...], Any]] = [((), config)]
    # YAML's anchors can repeat a few lines without end, or contain themselves.
    for _ in range(_MOST):
        if not left:
            return
        path, value = left.pop()
        problem = f"more than {_DEEPEST} levels; allowed: fewer" if len(path) > _DEEPEST else _problem(value)
        if problem:
            raise InputError(f"configuration: {'.'.join(path)}: found {problem}")
        if isinstance(value, Mapping):
            left += [((*path, _checked_key(path, key)), child) for key, child in value.items()]
        elif isinstance(value, list):
            left += [((*path, str(index)), child) for index, child in enumerate(value)]
    raise InputError(f"configuration: found more than {_MOST:,} values; allowed: fewer")


def _checked_key(path: tuple[str, ...], key: Any) -> str:
    if isinstance(key, str) and not _NO_TEXT.search(key):
        return key
    # YAML reads `NO:` as false and `12:` as a number.
    name = ".".join((*path, str(key)))
    raise InputError(
        f"configuration: {name!r}: found a key that is not text; allowed: text without control characters, in quotes "
        "if necessary"
    )


def _problem(value: Any) -> str:
    """Say what is wrong with a single value, and what is allowed; nothing if a schema may allow it."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}; allowed: a finite number"
    if isinstance(value, int) and abs(value) >= 10**_DIGITS:
        return f"an integer of more than {_DIGITS} digits; allowed: fewer"
    if isinstance(value, str) and _NO_TEXT.search(value):
        return f"{_SHOWN.repr(value)}; allowed: text without control characters"
    return ""


def _match_whole(
    validator: Any, pattern: str, instance: Any, _schema: Mapping[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    """Keyword `pattern`: in Python `$` also matches before a final newline, in JSON schema it does not."""
    if validator.is_type(instance, "string") and not re.fullmatch(pattern, instance):
        yield jsonschema.ValidationError(f"text that matches {pattern}")


# In JSON schema 3.0 is an integer, in Python it is not.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"pattern": _match_whole},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


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
        return f"configuration: {'.'.join([*path, missing])} is missing"
    words = _allowed(str(error.validator), error.schema)
    return f"configuration: {'.'.join(path)}: found {_SHOWN.repr(error.instance)}; allowed: {words}"


_ALLOWED = {
    "type": "type {}",
    "enum": "one of {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "uniqueItems": "each entry once",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "text that matches {}",
}
_LIMITS = {
    "minimum": "at least {:,g}",
    "exclusiveMinimum": "above {:,g}",
    "maximum": "at most {:,g}",
    "exclusiveMaximum": "below {:,g}",
}


def _allowed(keyword: str, rules: Mapping[str, Any]) -> str:
    """Name the allowed values in the part of a schema whose `keyword` a value violates."""
    if keyword in _LIMITS:
        limits = [template.format(rules[name]) for name, template in _LIMITS.items() if name in rules]
        return f"{' and '.join(limits)} {rules.get('unit', '')}".strip()
    if keyword == "anyOf":
        return " or ".join(_allowed("enum" if "enum" in part else "minimum", part) for part in rules["anyOf"])
    return _ALLOWED[keyword].format(rules[keyword])
