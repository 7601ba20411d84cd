"""JSON schema of the configuration, made from the dataclasses that hold its settings."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict
from functools import cache
from typing import Any, Literal, get_args, get_origin

from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Described, Setting, Settings, described, entry_of, is_mapping, is_settings, is_union
from iphasenet.planning.settings import Configuration

_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}
_SAME = ("unordered", "direction", "path", "zero_if_absent")
"""Keywords of this library that say which values mean the same (`iphasenet.planning.configuration_form.one_form`)."""


@cache
def configuration_schema() -> dict[str, Any]:
    """
    Describe every key of a configuration.

    Returns
    -------
    dict
        JSON schema (2020-12). Validators ignore the keywords of this library: `unit`, and the keywords that say which
        values mean the same, `unordered`, `direction`, `path`, `zero_if_absent` and `without_effect`
        (`iphasenet.base.settings.Setting`).
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "iphasenet configuration"}
    plain: dict[str, Any] = _plain({**head, **_object(Configuration)})
    return plain


def _object(kind: type[Settings]) -> dict[str, Any]:
    known = [one for one in described(kind) if one.setting.key]
    required = [one.name for one in known if one.required]
    properties = {}
    for one in known:
        properties[one.name] = {**_schema(one.kind, one.setting), **_default(one)}
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **({"without_effect": kind.without_effect} if kind.without_effect else {}),
        "properties": properties,
    }


def _default(one: Described) -> dict[str, Any]:
    """Describe a key's default, if it has one."""
    if one.required or one.default in (None, MISSING):
        return {}
    # A part of a section has its own keys.
    return {"default": asdict(one.default) if is_settings(one.kind) else one.default}


def _schema(kind: Any, setting: Setting) -> dict[str, Any]:
    """Describe a value of a type."""
    described_as = {"description": setting.text} if setting.meaning else {}
    same = {name: True for name in _SAME if getattr(setting, name)}
    if setting.without_effect:
        same["without_effect"] = setting.without_effect  # type: ignore[assignment]
    return {**_rules(kind, setting), **same, **described_as}


def _rules(kind: Any, setting: Setting) -> dict[str, Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if is_union(kind):
        return _union(inner, setting)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple:
        variadic = inner[-1] is ...
        least, most = (setting.least, setting.most) if variadic else (len(inner), len(inner))
        limits = {"minItems": least, "maxItems": most, "uniqueItems": setting.once or None}
        return {"type": "array", "items": _schema(*entry_of(inner[0], setting)), **_said(limits)}
    if is_mapping(kind):
        names = _said({"pattern": setting.pattern, "maxLength": 50 if setting.pattern else None})
        counts = {"minProperties": setting.least, "maxProperties": setting.most, "propertyNames": names or None}
        return {"type": "object", "additionalProperties": _schema(*entry_of(inner[1], setting)), **_said(counts)}
    if is_settings(kind):
        return _object(kind)
    texts = {"pattern": setting.pattern, "minLength": setting.least, "maxLength": setting.most}
    quantity = setting.configured or setting.quantity
    limits = _limits(quantity) if kind in (int, float) and quantity else _said(texts) if kind is str else {}
    return {"type": _TYPES[kind], **limits}


def _union(kinds: tuple[Any, ...], setting: Setting) -> dict[str, Any]:
    """Describe a value of one of several types; limits of text and of numbers have different keywords."""
    rules = [_rules(kind, setting) for kind in kinds]
    if all(rule.get("type") in _TYPES.values() for rule in rules):
        limits = {key: value for rule in rules for key, value in rule.items() if key != "type"}
        return {"type": [rule["type"] for rule in rules], **limits}
    return {"anyOf": rules}


def _limits(quantity: Quantity) -> dict[str, Any]:
    low = "exclusiveMinimum" if quantity.above else "minimum"
    high = "exclusiveMaximum" if quantity.below else "maximum"
    step = {} if quantity.step == 1 else {"multipleOf": quantity.step}
    unit = {"unit": quantity.unit} if quantity.unit else {}
    number = int if quantity.whole else float
    least = min(quantity.low, 0) if quantity.or_zero else quantity.low
    return {low: number(least), high: number(quantity.high), **step, **unit}


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    """Copy all sequences and mappings to separate lists and dictionaries, so that YAML needs no anchors."""
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list | tuple) else value
