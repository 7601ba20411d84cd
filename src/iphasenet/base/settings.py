"""Settings that describe and check themselves; each key of the configuration is one field of a dataclass."""

import inspect
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity, check_number, counted


@dataclass(frozen=True)
class Setting:
    """
    Meaning and allowed values of a field, as in `energy_kev: Annotated[float, Setting("Beam energy.", ENERGY)]`.

    Attributes
    ----------
    meaning : str
        One or two sentences for the reader of a configuration; empty for the entries of a list.
    quantity : Quantity, optional
        Unit and range of a number, or of each number of a list or mapping.
    configured : Quantity, optional
        Range that a configuration allows, if it is narrower than that of the library.
    pattern : str, optional
        Regular expression that a whole text must match; for a mapping, each of its keys.
    least, most : int, optional
        Smallest and largest number of entries of a list or mapping, or of characters of a text.
    once : bool
        Whether the entries of a list must all differ.
    required : bool, optional
        Whether a configuration must hold the key; if not given, it must if the field has no default.
    called : str, optional
        Name in messages, if the key of the configuration differs from the field's name.
    key : bool
        Whether the field is a key of the configuration; if false, only users of the library can set it.
    unordered, direction, path, zero_if_absent : bool
        Which values mean the same (`iphasenet.planning.configuration_form.one_form`): lists in any order; multiples of
        a lattice direction; several ways to write a path; mappings with an entry 0 and without this entry.
    without_effect : mapping, optional
        For a mapping: keys that have no effect while other keys have certain values, and these values.
    """

    meaning: str = ""
    quantity: Quantity | None = None
    configured: Quantity | None = None
    pattern: str | None = None
    least: int | None = None
    most: int | None = None
    once: bool = False
    required: bool | None = None
    called: str | None = None
    key: bool = True
    unordered: bool = False
    direction: bool = False
    path: bool = False
    zero_if_absent: bool = False
    without_effect: Mapping[str, Mapping[str, Any]] | None = None

    @property
    def text(self) -> str:
        """The meaning, followed by the unit in brackets if the meaning has none."""
        unit = self.quantity.unit if self.quantity else ""
        return f"{self.meaning.removesuffix('.')} [{unit}]." if unit and "[" not in self.meaning else self.meaning


@dataclass(frozen=True)
class Described:
    """
    A field of a dataclass of settings.

    Attributes
    ----------
    name : str
        Name of the field, which is also the key of the configuration.
    kind : type
        Type of the field, without `Annotated` and without None.
    setting : Setting
        Meaning and allowed values.
    default : object
        Default value; `dataclasses.MISSING` if there is none.
    """

    name: str
    kind: Any
    setting: Setting
    default: Any

    @property
    def required(self) -> bool:
        """Whether a configuration must hold the key."""
        return self.default is MISSING if self.setting.required is None else self.setting.required


class _Signature:
    """Signature of a dataclass with plain types, which `help` and editors show."""

    def __get__(self, _instance: object, owner: type["Settings"]) -> inspect.Signature:
        """Make the signature from the fields."""
        kinds = {one.name: _kind_text(one.kind) for one in described(owner)}
        return inspect.Signature(
            [
                parameter.replace(annotation=kinds.get(parameter.name, parameter.annotation))
                for parameter in list(inspect.signature(owner.__init__).parameters.values())[1:]
            ]
        )


class Settings:
    """
    Base of frozen dataclasses whose fields are `Annotated` with a `Setting`.

    Every value is checked when an object is made, except against `configured` ranges; an InputError names section and
    key. Lists, arrays and other series become tuples. Mappings become the dataclasses that the annotations name, so
    that `Grid(**configuration["grid"])` makes a grid. The settings are added to the class's docstring as attributes.
    """

    section: ClassVar[str]
    """Section of the configuration that holds the fields; empty for the top level."""

    __signature__: ClassVar[Any] = _Signature()

    without_effect: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Fields that have no effect while other fields have certain values, and these values."""

    def __init_subclass__(cls, section: str) -> None:
        cls.section = section
        hints: dict[str, Any] = cls.__annotations__
        lines = [
            f"    {name} : {_kind_text(kind)}\n        {setting.text}"
            for name, hint in hints.items()
            if get_origin(hint) is Annotated
            for kind, setting in [_parts(hint)]
        ]
        if lines:
            cls.__doc__ = "\n".join([(cls.__doc__ or "").rstrip(), "", "    Attributes", "    ----------", *lines, ""])

    def __post_init__(self) -> None:
        for one in described(type(self)):
            value = getattr(self, one.name)
            if value is not None or one.default is not None:
                key = ".".join(filter(None, [self.section, one.setting.called or one.name]))
                object.__setattr__(self, one.name, _taken(value, one.kind, one.setting, key))

    @classmethod
    def of(cls, values: Mapping[str, Any], name: str | None = None) -> Self:
        """
        Make an object from a mapping.

        Parameters
        ----------
        values : mapping
            Values by the names of the fields.
        name : str, optional
            Name of the mapping in an InputError about unknown or missing keys; the section if not given.
        """
        known, where = described(cls), cls.section if name is None else name
        names, before = [one.name for one in known], f"{where}." if where else ""
        unknown = sorted(set(map(str, values)) - set(names))
        if unknown:
            raise InputError(f"{before}{unknown[0]}: unknown key; allowed: {', '.join(names)}")
        missing = [one.name for one in known if one.default is MISSING and one.name not in values]
        if missing:
            raise InputError(f"{before}{missing[0]} is missing")
        return cls(**values)


def described(kind: type[Settings]) -> tuple[Described, ...]:
    """
    List the fields of a dataclass that have a `Setting`, in order.

    Parameters
    ----------
    kind : type
        Dataclass of settings.
    """
    # mypy takes a class for unhashable if its instances are.
    return _described(kind)  # type: ignore[arg-type]


@cache
def _described(kind: Any) -> tuple[Described, ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return tuple(
        Described(one.name, *_parts(hints[one.name]), _default(one))
        for one in fields(kind)
        if get_origin(hints[one.name]) is Annotated
    )


def entry_of(hint: Any, setting: Setting) -> tuple[Any, Setting]:
    """Type and setting of each entry of a list or mapping; by default, entries have the quantity of the whole."""
    if get_origin(hint) is Annotated:
        return _parts(hint)
    return hint, Setting(quantity=setting.quantity)


def is_settings(kind: Any) -> bool:
    """Whether a type is a dataclass of settings."""
    return isinstance(kind, type) and issubclass(kind, Settings)


def is_mapping(kind: Any) -> bool:
    """Whether a type is a mapping with types of its keys and values."""
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def is_union(kind: Any) -> bool:
    """Whether a type is one of several."""
    return get_origin(kind) in (Union, UnionType)


def _parts(hint: Any) -> tuple[Any, Setting]:
    """Split an annotation into the type, without None, and its setting."""
    kind, setting = get_args(hint)[:2]
    if is_union(kind):
        kinds: list[Any] = [one for one in get_args(kind) if one is not NoneType]
        kind = kinds[0] if len(kinds) == 1 else Union[tuple(kinds)]  # noqa: UP007
    return kind, setting


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _kind_text(kind: Any) -> str:
    """Write a type as numpydoc does."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind_text(inner[0])
    if origin is Literal:
        return f"{{{', '.join(map(repr, inner))}}}"
    if is_union(kind):
        return " or ".join(map(_kind_text, inner))
    if origin is tuple:
        return f"tuple of {_kind_text(inner[0])}" if inner[-1] is ... else f"({', '.join(map(_kind_text, inner))})"
    return "mapping" if origin is not None else kind.__name__


def _taken(value: Any, kind: Any, setting: Setting, name: str) -> Any:
    """Check a value and convert it to the type that its annotation names."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_union(kind):
        return _one_of(value, inner, setting, name)
    if kind in (int, float):
        check_number(value, name, setting.quantity or (_WHOLE if kind is int else _ANY))
        # JSON cannot hold numbers of NumPy.
        return value.item() if hasattr(value, "item") else value
    if origin is tuple and isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return _entries(list(value), inner, setting, name)
    if is_mapping(kind) and isinstance(value, Mapping):
        part, own = entry_of(inner[1], setting)
        for key in value:
            _check_text(key, Setting(pattern=setting.pattern), f"{name}: key")
        return {key: _taken(entry, part, own, f"{name}.{key}") for key, entry in value.items()}
    if is_settings(kind) and isinstance(value, Mapping):
        return kind.of(value, name)
    if origin is Literal:
        good = any(type(value) is type(choice) and value == choice for choice in inner)
    else:
        good = isinstance(value, kind if origin is None else origin)
    if not good or origin is tuple:
        raise InputError(f"{name}: found {value!r}; allowed: {_allowed_text(kind)}")
    if kind is str:
        _check_text(value, setting, name)
    return value


def _one_of(value: Any, kinds: tuple[Any, ...], setting: Setting, name: str) -> Any:
    """Check a value of one of several types."""
    lines = []
    for kind in kinds:
        try:
            return _taken(value, kind, setting, name)
        except InputError as error:
            lines.append(str(error).partition("; allowed: ")[2])
    raise InputError(f"{name}: found {value!r}; allowed: {' or '.join(lines)}")


def _entries(values: list[Any], inner: tuple[Any, ...], setting: Setting, name: str) -> tuple[Any, ...]:
    """Check the entries of a list; numbers that may have decimals become floats."""
    count = None if inner[-1] is ... else len(inner)
    if count is not None and len(values) != count:
        raise InputError(f"{name}: found {values}; allowed: {count} entries")
    if setting.least is not None and len(values) < setting.least:
        raise InputError(f"{name}: found {values}; allowed: at least {counted(setting.least, 'entry', 'entries')}")
    kind, own = entry_of(inner[0], setting)
    taken = tuple(_taken(value, kind, own, name) for value in values)
    if setting.once and len(set(taken)) < len(taken):
        raise InputError(f"{name}: found {values}; allowed: each once")
    return tuple(map(float, taken)) if kind is float else taken


def _check_text(value: Any, setting: Setting, name: str) -> None:
    """Refuse a text that is too long or matches no pattern."""
    if setting.most is not None and len(value) > setting.most:
        raise InputError(f"{name}: found a text of {len(value)} characters; allowed: at most {setting.most}")
    if setting.pattern is not None and not re.fullmatch(setting.pattern, value):
        raise InputError(f"{name}: found {value!r}; allowed: text that matches {setting.pattern}")


def _allowed_text(kind: Any) -> str:
    """Name the allowed values in the words of a configuration."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(map(str, inner))
    if origin is tuple:
        return "a list" if inner[-1] is ... else f"a list of {len(inner)}"
    if is_mapping(kind) or is_settings(kind):
        return "keys with their values"
    return {bool: "true, false", str: "text"}.get(kind, str(kind))


_ANY = Quantity("", -1e300, 1e300)
_WHOLE = Quantity("", -(2**63), 2**63 - 1, whole=True)
