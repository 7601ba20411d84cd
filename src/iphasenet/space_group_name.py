"""What a space group's name means: gemmi's settings for full, short and old Hermann-Mauguin names with remarks."""

import re
from dataclasses import dataclass, replace
from functools import cache

import gemmi

_TYPESETTING = (
    (r"</?su[bp]>|[_~$\\]", ""),
    ("\N{MINUS SIGN}", "-"),
    (r"(?:over)?(?:bar|line)\s*\{?(\d)\}?", r"-\1"),
    # SHELX and TeX write the pitch of a screw axis in brackets: P 2(1)/c.
    (r"([2346])[({]([1-5])[)}]", r"\1\2"),
    (r"\s*/\s*", "/"),
    (r"/(?=[hr]$)", ":"),
    (r"#\s*(?=\d)", " no. "),
    # ICSD once wrote the bar after its axis: F d 3-m.
    (r"(\d)\s*-(?!\d)", r" -\1"),
)
"""Patterns that write a name in plain characters, and what they put in place."""

_WORDS = r"[szhr]|[hr]r|(?:origin(?: choice)?|o) ?[12]|(?:rhombohedral|hexagonal)(?: axes| setting)?|no\.? ?\d+"
_REMARK = re.compile(
    rf"(?P<name>.*[^\s,;:])(?:\s*[({{](?P<brackets>[^(){{}}]*)[)}}]|\s*[,;:](?P<mark>[^,;:]+)|\s(?P<word>{_WORDS}))\s*",
    re.IGNORECASE,
)
"""A name and a remark at its end: in brackets, after a mark, or one of the words that are no symbols."""

_SYMBOL = re.compile(r"(?:-\d|21|3[12]|4[1-3]|6[1-5]|\d)(?:/[a-z])?|[a-z]", re.IGNORECASE)
"""One of the symbols of a name without blanks."""

_BOTH = re.compile(r"(?:2|21|4[123]?|6[1-5]?)/[a-emn]", re.IGNORECASE)
"""Symbol of an axis and the plane across it."""

_GLUED = ("HR", "RR", "H", "R", "S", "Z", "1", "2")
"""Extensions that stand at the end without a blank; S and Z are ICSD's first and second origin."""

_DIRECTIONS = ("b", "c", "a")
"""Unique axes of monoclinic groups, the usual one first."""

_Alternatives = tuple[tuple[gemmi.SpaceGroup, ...], ...]


@dataclass(frozen=True)
class _Remark:
    """What remarks choose; empty and 0 where they say nothing."""

    extension: str = ""
    axis: str = ""
    number: int = 0

    def allows(self, entry: gemmi.SpaceGroup) -> bool:
        """Whether a setting is what the remarks say."""
        own = entry.ext.strip("\0")
        # The first origin of a group that has no other is its only one.
        extended = self.extension in ("", own) or (self.extension == "1" and not own)
        turned = not self.axis or entry.qualifier.strip("-").startswith(self.axis)
        return extended and turned and self.number in (0, entry.number)


@cache
def settings_of(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """List the settings of a space-group type in International Tables, the reference setting first."""
    found = [entry for entry in gemmi.spacegroup_table_itb() if entry.number == number]
    return tuple(sorted(found, key=lambda entry: not entry.is_reference_setting()))


@cache
def settings_called(name: str) -> _Alternatives:
    """
    List the settings that a Hermann-Mauguin name may mean.

    Parameters
    ----------
    name : str
        Full, short or old name in any letter case, with or without blanks, pitches of screw axes also in brackets
        (P 2(1)/c). After it remarks on the origin (":2", "(origin 2)", ICSD's " S" and " Z"), the axes (":H",
        "{rhombohedral axes}", "HR", "(unique axis c)") and the number ("(No. 225)").

    Returns
    -------
    tuple
        Alternatives, those of a later entry only where the cell rules out the earlier ones (short monoclinic
        names mean unique axis b first); in each the settings between which the name does not choose. Empty for
        what is no name, or has a remark that is not understood or does not fit.
    """
    text, remark = name, _Remark()
    for pattern, plain in _TYPESETTING:
        text = re.sub(pattern, plain, text, flags=re.IGNORECASE)
    text = " ".join(text.split())
    while last := _REMARK.fullmatch(text):
        more = _read_remark(last["brackets"] or last["mark"] or last["word"] or "", remark)
        if more is None:
            return ()
        text, remark = last["name"], more
    return _allowed(_called(text), remark) or _glued(text, remark)


def _read_remark(text: str, before: _Remark) -> _Remark | None:
    """Add what a remark says to what others say; None if it is not understood or they differ."""
    text = text.strip().lower()
    if found := re.fullmatch(r"(?:(?:origin(?: choice)?|o) ?)?([12sz])", text):
        more = _Remark(extension={"s": "1", "z": "2"}.get(found[1], found[1]))
    elif found := re.fullmatch(r"([hr])r?|(?:(h)exagonal|(r)hombohedral)(?: axes| setting)?", text):
        more = _Remark(extension="".join(filter(None, found.groups())).upper())
    elif found := re.fullmatch(r"(?:unique axis |axis )?([abc])(?:[ -](?:axis|unique))?", text):
        more = _Remark(axis=found[1])
    elif found := re.fullmatch(r"(?:no\.?|nr\.?|number)? ?(\d{1,3})", text):
        more = _Remark(number=int(found[1]))
    else:
        return None
    told = {key: value for key, value in vars(more).items() if value}
    return replace(before, **told) if all(vars(before)[key] in ("", 0, told[key]) for key in told) else None


def _allowed(found: _Alternatives, remark: _Remark) -> _Alternatives:
    """Keep of each alternative the settings that the remarks allow."""
    kept = (tuple(entry for entry in one if remark.allows(entry)) for one in found)
    return tuple(one for one in kept if one)


def _glued(text: str, remark: _Remark) -> _Alternatives:
    """List the settings of a name with its extension at the end, such as Fd-3mZ and R-3mHR."""
    for extension in _GLUED:
        base = text[: -len(extension)].strip()
        if base and text.upper().endswith(extension):
            more = _read_remark(extension, remark)
            found = _allowed(_called(base), more) if more else ()
            if found:
                return found
    return ()


def _called(name: str) -> _Alternatives:
    """List the settings of a name without remarks."""
    direct = gemmi.find_spacegroup_by_name(name)
    if direct is not None and direct.ext in "HR" and name[1:].upper().endswith(("H", "R")):
        return ()  # with its axes at the end
    letter, symbol = name[:1], name[1:].strip()
    found = [direct]
    if " " not in symbol and (direct is None or 3 <= direct.number <= 15):
        full = {"b": f"{letter} 1 {symbol} 1", "c": f"{letter} 1 1 {symbol}", "a": f"{letter} {symbol} 1 1"}
        found += [gemmi.find_spacegroup_by_name(full[axis]) for axis in _DIRECTIONS]
    if not any(found):
        short = _short(name)
        return _called(short) if short and short != name else ()
    alternatives = {(entry.number, entry.hm): None for entry in found if entry is not None}
    return tuple(
        tuple(entry for entry in gemmi.spacegroup_table() if (entry.number, entry.hm) == alternative)
        for alternative in alternatives
    )


def _short(name: str) -> str:
    """
    Shorten a full name: F 4/m -3 2/m to F m -3 m, P 21/n 21/m 21/a to P n m a, P 4/n 2/m 2/m to P 4/n m m.

    Empty for what is no full name of three directions: of P 22/c or P 2/1/c nothing may be left out.
    """
    letter, *symbols = name.split(" ")
    if not symbols:
        letter, symbols = name[:1], _SYMBOL.findall(name[1:])
        if "".join(symbols) != name[1:]:
            return ""
    if len(symbols) not in (2, 3) or not all(_BOTH.fullmatch(part) or "/" not in part for part in symbols):
        return ""
    axial = symbols[0][:1] in "46" and not symbols[1].startswith("-3")
    kept = [part if axial and k == 0 else part.rpartition("/")[2] for k, part in enumerate(symbols)]
    return " ".join([letter, *kept])
