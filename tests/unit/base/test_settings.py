"""Settings describe and check themselves."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings, described


@dataclass(frozen=True)
class Lens(Settings, section="microscope.lens"):
    """A lens."""

    focus: Annotated[float, Setting("Defocus.", Quantity("Å", -100, 100, below=True))]


Axis = Annotated[tuple[int, int, int], Setting(quantity=Quantity("", -9, 9, whole=True))]


@dataclass(frozen=True)
class Scan(Settings, section="microscope"):
    """A scan."""

    lines: Annotated[int, Setting("Lines.", Quantity("", 32, 128, whole=True, step=32))]
    lens: Annotated[Lens, Setting("The lens.")]
    order: Annotated[Literal["rows", 1], Setting("Order of the lines.")] = "rows"
    twice: Annotated[bool, Setting("If true, each line is scanned twice.")] = False
    times: Annotated[tuple[float, ...], Setting("Times.", Quantity("s", 0, 9), least=1, once=True)] = (1.0,)
    shares: Annotated[Mapping[str, float], Setting("Shares.", Quantity("", 0, 1))] = field(default_factory=dict)
    name: Annotated[str | None, Setting("Name.", pattern="[a-z]+", most=5)] = None
    minutes: Annotated[int | Literal["auto"], Setting("Time.", Quantity("", 1, 60, whole=True))] = "auto"
    axes: Annotated[tuple[Axis, ...], Setting("Axes.", once=True)] = ()
    dose: Annotated[float, Setting("Dose.", Quantity("", 0, 9), called="scan_dose")] = 1.0


GOOD: dict[str, Any] = {"lines": 64, "lens": {"focus": 3}}


def test_values_of_yaml_become_those_of_the_annotations() -> None:
    made = Scan(**GOOD, times=[1, 2])
    assert made.lens == Lens(3) and made.times == (1.0, 2.0) and all(isinstance(t, float) for t in made.times)
    assert replace(made, lines=96).lens is made.lens
    assert Scan.of({**GOOD, "name": "x"}).name == "x"
    assert Scan(**GOOD, axes=[[0, 0, 1], [1, 0, 0]]).axes == ((0, 0, 1), (1, 0, 0))


def test_series_and_numbers_of_numpy_are_as_good() -> None:
    made = Scan(lines=np.int64(64), lens=Lens(np.float32(3)), times=np.array([1.0, 2.0]), dose=np.float64(2))
    assert made == Scan(64, Lens(3.0), times=(1, 2), dose=2.0)
    assert json.loads(json.dumps(asdict(made)))["times"] == [1.0, 2.0]
    for series in (range(1, 3), {1.0, 2.0}, (time for time in (1, 2))):
        assert Scan(64, Lens(3), times=series).times == (1.0, 2.0)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"lines": 65}, "microscope.lines: found 65; allowed: a whole number, 32 to 128 in steps of 32"),
        ({"lines": 64.5}, "microscope.lines: found 64.5"),
        ({"lines": True}, "microscope.lines: found True"),
        ({"lens": {"focus": 100}}, "microscope.lens.focus: found 100; allowed: -100 to less than 100 Å"),
        ({"lens": {"focus": float("nan")}}, "microscope.lens.focus: found nan"),
        ({"lens": {"focos": 1}}, "microscope.lens.focos: unknown key; allowed: focus"),
        ({"lens": {}}, "microscope.lens.focus is missing"),
        ({"lens": 3}, "microscope.lens: found 3; allowed: keys with their values"),
        ({"order": True}, "microscope.order: found True; allowed: rows, 1"),
        ({"twice": 1}, "microscope.twice: found 1; allowed: true, false"),
        ({"times": []}, "microscope.times: found []; allowed: at least 1 entry"),
        ({"times": [1, 1.0]}, "microscope.times: found [1, 1.0]; allowed: each once"),
        ({"times": 3}, "microscope.times: found 3; allowed: a list"),
        ({"times": [10]}, "microscope.times: found 10; allowed: 0 to 9 s"),
        ({"shares": {"a": 2}}, "microscope.shares.a: found 2; allowed: 0 to 1"),
        ({"times": "12"}, "microscope.times: found '12'; allowed: a list"),
        ({"name": 3}, "microscope.name: found 3; allowed: text"),
        ({"name": "a/b"}, "microscope.name: found 'a/b'; allowed: text that matches [a-z]+"),
        ({"dose": 10}, "microscope.scan_dose: found 10; allowed: 0 to 9"),
        ({"name": "abcdef"}, "microscope.name: found a text of 6 characters; allowed: at most 5"),
        ({"minutes": "long"}, "microscope.minutes: found 'long'; allowed: a whole number, 1 to 60 or auto"),
        ({"minutes": 0}, "microscope.minutes: found 0; allowed: a whole number, 1 to 60 or auto"),
        ({"axes": [[0, 0, 1], [0, 0, 1.0]]}, "microscope.axes: found [[0, 0, 1], [0, 0, 1.0]]; allowed: each once"),
        ({"axes": [[0, 0]]}, "microscope.axes: found [0, 0]; allowed: 3 entries"),
    ],
)
def test_what_no_annotation_allows_is_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        Scan(**{**GOOD, **change})
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_fields_are_described_with_their_defaults() -> None:
    known = {one.name: one for one in described(Scan)}
    assert list(known)[:2] == ["lines", "lens"]
    assert known["lines"].required and known["lines"].default is MISSING and not known["times"].required
    assert known["shares"].default == {} and known["name"].kind is str
    assert known["lens"].setting.text == "The lens." and described(Lens)[0].setting.text == "Defocus [Å]."


def test_the_signature_has_plain_types() -> None:
    assert str(inspect.signature(Lens)) == "(focus: 'float')"


def test_the_docstring_says_what_the_attributes_are() -> None:
    assert Scan.__doc__ is not None and Scan.__doc__.startswith("A scan.\n\n    Attributes\n    ----------\n")
    assert "    times : tuple of float\n        Times [s]." in Scan.__doc__
    assert "    order : {'rows', 1}\n" in Scan.__doc__
