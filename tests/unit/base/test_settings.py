"""Settings describe and check themselves."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, replace
from typing import Annotated, Any, Literal

import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings, described


@dataclass(frozen=True)
class Lens(Settings, section="microscope.lens"):
    """A lens."""

    focus: Annotated[float, Setting("Defocus.", Quantity("Å", -100, 100, below=True))]


@dataclass(frozen=True)
class Scan(Settings, section="microscope"):
    """A scan."""

    lines: Annotated[int, Setting("Lines.", Quantity("", 32, 128, whole=True, step=32))]
    lens: Annotated[Lens, Setting("The lens.")]
    order: Annotated[Literal["rows", 1], Setting("Order of the lines.")] = "rows"
    twice: Annotated[bool, Setting("If true, each line is scanned twice.")] = False
    times: Annotated[tuple[float, ...], Setting("Times.", Quantity("s", 0, 9), least=1, once=True)] = (1.0,)
    shares: Annotated[Mapping[str, float], Setting("Shares.", Quantity("", 0, 1))] = field(default_factory=dict)
    name: Annotated[str | None, Setting("Name.")] = None


GOOD: dict[str, Any] = {"lines": 64, "lens": {"focus": 3}}


def test_values_of_yaml_become_those_of_the_annotations() -> None:
    made = Scan(**GOOD, times=[1, 2])
    assert made.lens == Lens(3) and made.times == (1.0, 2.0) and all(isinstance(t, float) for t in made.times)
    assert replace(made, lines=96).lens is made.lens
    assert Scan.of({**GOOD, "name": "x"}).name == "x"


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
        ({"lens": 3}, "microscope.lens: found 3; allowed: Lens"),
        ({"order": True}, "microscope.order: found True; allowed: rows, 1"),
        ({"twice": 1}, "microscope.twice: found 1; allowed: true, false"),
        ({"times": []}, "microscope.times: found []; allowed: at least 1 entries"),
        ({"times": [1, 1.0]}, "microscope.times: found [1, 1.0]; allowed: each once"),
        ({"times": 3}, "microscope.times: found 3; allowed: tuple of float"),
        ({"times": [10]}, "microscope.times: found 10; allowed: 0 to 9 s"),
        ({"shares": {"a": 2}}, "microscope.shares.a: found 2; allowed: 0 to 1"),
        ({"name": 3}, "microscope.name: found 3; allowed: str"),
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


def test_the_docstring_says_what_the_attributes_are() -> None:
    assert Scan.__doc__ is not None and Scan.__doc__.startswith("A scan.\n\n    Attributes\n    ----------\n")
    assert "    times : tuple of float\n        Times [s]." in Scan.__doc__
    assert "    order : {'rows', 1}\n" in Scan.__doc__
