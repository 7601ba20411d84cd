"""What is known beforehand: numbers and ranges, and what is wrong with them."""

import pytest

from iphasenet.base.errors import InputError
from iphasenet.fitting.limits import Limits, parse_range


def test_a_number_is_fixed_and_a_range_searched() -> None:
    assert parse_range("40", "--thickness") == (40, 40)
    assert parse_range("-20:15.5", "--defocus") == (-20, 15.5)


@pytest.mark.parametrize("text", ["", "a", "1:2:3", "5:1", "nan", "1:inf"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--thickness: found .*; allowed: a number, or LOWEST:HIGHEST"):
        parse_range(text, "--thickness")


def test_what_is_fixed_is_not_fitted() -> None:
    everything = [
        "alpha",
        "beta",
        "depth",
        "defocus",
        "offset_x",
        "offset_y",
        "scale",
        "source_variance",
        "displacement",
    ]
    assert Limits().free == everything
    known = Limits(thickness_nm=(40, 40), tilt_reach_deg=0, source_size_angstrom=(0.3, 0.3), displacement=(1, 1))
    assert known.free == ["defocus", "offset_x", "offset_y", "scale"]
    assert known.bounds["depth"] == (400, 400) and known.bounds["source_variance"] == (0.09, 0.09)
    assert Limits(extra=("astigmatism",)).free == [*everything, "astigmatism_x", "astigmatism_y"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"thickness_nm": (0, 10)}, "thickness"),
        ({"thickness_nm": (1, 10)}, "thickness: found 1 nm; allowed: from 1.5 nm up"),
        ({"displacement": (0, 1)}, "displacement: found 0"),
        ({"thickness_nm": (50, 10)}, "thickness_nm: found 50 to 10"),
        ({"displacement": (1, 1000)}, "displacement: found 1000; allowed: up to 4 times"),
        ({"defocus_angstrom": (-100, 5000)}, "defocus: found 5000 Å; allowed: -400 to 400 Å"),
        ({"tilt_reach_deg": 3}, "tilt range: found 3°"),
        ({"tilt_reach_deg": float("nan")}, "tilt range"),
        ({"source_size_angstrom": (-1, 0)}, "source size"),
        ({"scale": (0, 1)}, "scale: found 0"),
        ({"extra": ("coma",)}, "'coma'; allowed: astigmatism"),
    ],
)
def test_wrong_limits_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Limits(**wrong)  # type: ignore[arg-type]
