"""Settings that a space group's name may mean: full, short and old Hermann-Mauguin names with remarks."""

import re
from dataclasses import dataclass, replace
from functools import cache

import gemmi

from iphasenet.crystal.space_group import Group

_PLAIN = str.maketrans("₁₂₃₄₅\N{MINUS SIGN}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}", "12345----")

_BAR = r"\\?(?:over)?(?:bar|line)|\\=|[\N{MACRON}\N{OVERLINE}]"
"""Ways to write a bar before its digit: TeX's commands, the accent of TeX and CIF, and the character."""

_TYPESETTING = (
    (r"\$([^$]*)\$", r"\1"),
    (r"</?su[bp]>", ""),
    (rf"(?:{_BAR})\s*(?:\{{\s*(\d)\s*\}}|(\d))", r"-\1\2"),
    (r"(\d)[\N{COMBINING OVERLINE}\N{COMBINING MACRON}]", r"-\1"),
    (r"\{\s*(-\d)\s*\}", r"\1"),
    (r"cent(?:re|er) \(([^()]*)\)", r"\1"),
    # SHELX and TeX write the pitch of a screw axis in brackets, journals between tildes: P 2(1)/c, P 2_{1}/c, P 2~1~/c.
    (r"([2346])_?[({]([1-5])[)}]", r"\1\2"),
    (r"([2346])~([1-5])~", r"\1\2"),
    (r"([2346])_([1-5])", r"\1\2"),
    (r"\\[,;:]", " "),
    (r"\s*/\s*", "/"),
    (r"/(?=[hr]$)", ":"),
    (r"#\s*(?=\d)", " no. "),
    # ICSD once wrote the bar after its axis: F d 3-m.
    (r"(\d)\s*-(?!\d)", r" -\1"),
)
"""Patterns and their replacements, which write a name in plain characters. Unknown marks stay."""

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

_QUALIFIER = re.compile(r"([12]?)(-?[abc][1-6]|abc|ba-c|cab|-cba|bca|a-cb)", re.IGNORECASE)
"""Code of a setting in International Tables: origin, and unique axis with choice of cell, or the order of axes."""

_ORIGIN_AT = re.compile(r"origin (?:is )?at (?:the )?(\S+)")
_SAME_POINT_GROUP = {"-4m2": "-42m", "m3": "m-3", "m3m": "m-3m"}

_DIRECTIONS = ("b", "c", "a")
"""Unique axes of monoclinic groups, the usual one first."""

_Alternatives = tuple[tuple[gemmi.SpaceGroup, ...], ...]


@dataclass(frozen=True)
class _Remark:
    """Choices made by remarks; empty or 0 where they say nothing."""

    extension: str = ""
    axis: str = ""
    qualifier: str = ""
    origin: str = ""
    number: int = 0

    def allows(self, entry: gemmi.SpaceGroup) -> bool:
        """Whether a setting agrees with the remarks."""
        own = entry.ext.strip("\0")
        # A group with a single origin has it as its first.
        extended = self.extension in ("", own) or (self.extension == "1" and not own)
        turned = not self.axis or entry.qualifier.strip("-").startswith(self.axis)
        coded = self.qualifier in ("", entry.qualifier or "abc")
        placed = not self.origin or Group.of(entry.operations()).symmetry_of_origin == self.origin
        return extended and turned and coded and placed and self.number in (0, entry.number)


@cache
def settings_of(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """List the settings of a space-group type in International Tables, the reference setting first."""
    found = [entry for entry in gemmi.spacegroup_table_itb() if entry.number == number]
    return tuple(sorted(found, key=lambda entry: not entry.is_reference_setting()))


@cache
def larger_cells_of(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """List settings with more lattice points in the cell than any of International Tables has, such as C -1."""
    usual = max(len(entry.operations()) for entry in settings_of(number))
    found = (entry for entry in gemmi.spacegroup_table() if entry.number == number)
    return tuple(entry for entry in found if len(entry.operations()) > usual)


@cache
def settings_called(name: str) -> _Alternatives:
    r"""
    List the settings that a Hermann-Mauguin name may mean.

    Parameters
    ----------
    name : str
        Full, short or old name in any letter case, with or without blanks, pitches of screw axes and bars also as
        they are typeset (P 2(1)/c, P2₁/c, P 2 1/c, R \=3 c). After it remarks on the origin (":2", "(origin 2)",
        "origin at -3m", ICSD's " S" and " Z"), the axes (":H", "{rhombohedral axes}", "HR", "(unique axis c)", ":b1")
        and the number ("(No. 225)"). Or two names with "=" between them, the second of which names the setting.

    Returns
    -------
    tuple
        Alternatives in order of preference: a later one is used only if the cell excludes the earlier ones (short
        monoclinic names mean unique axis b first). Each lists the settings that the name leaves open. Empty for text
        that is no name, or has a remark that is not understood or does not fit.
    """
    usual, equal, text = name.rpartition("=") if re.search(r"[^\\]=", name) else ("", "", name)
    if equal:
        kinds = {entry.number for one in settings_called(usual) for entry in one}
        kept = (tuple(entry for entry in one if entry.number in kinds) for one in settings_called(text))
        return tuple(one for one in kept if one)
    text, remark = _plain(name), _Remark()
    while last := _REMARK.fullmatch(text):
        more = _read_remark(last["brackets"] or last["mark"] or last["word"] or "", remark)
        if more is None:
            return ()
        text, remark = last["name"], more
    return _allowed(_called(text), remark) or _glued(text, remark) or _allowed(_called(_pitched(text)), remark)


def _plain(name: str) -> str:
    """Write a name in plain characters; unknown marks stay."""
    text = name.strip().translate(_PLAIN)
    # An underscore after the lattice symbol is a blank; elsewhere it marks a subscript.
    text = text.replace("_", " ") if re.match(r"[A-Za-z]_[^{]", text) else text
    for pattern, plain in _TYPESETTING:
        text = re.sub(pattern, plain, text, flags=re.IGNORECASE)
    return " ".join(text.split())


def _pitched(text: str) -> str:
    """Join an axis and its pitch if a blank separates them: P 2 1/c, P 1 2 1/c 1."""
    return re.sub(r"\b([2346]) ([1-5])(?=/)", r"\1\2", text)


def _read_remark(text: str, before: _Remark) -> _Remark | None:
    """Combine a remark with earlier ones; None if it is not understood or contradicts them."""
    text = text.strip().lower()
    if found := re.fullmatch(r"(?:(?:origin(?: choice)?|o) ?)?([12sz])", text):
        more = _Remark(extension={"s": "1", "z": "2"}.get(found[1], found[1]))
    elif found := re.fullmatch(r"([hr])r?|(?:(h)exagonal|(r)hombohedral)(?: axes| setting)?", text):
        more = _Remark(extension="".join(filter(None, found.groups())).upper())
    elif found := re.fullmatch(r"(?:unique axis |axis )?([abc])(?:[ -](?:axis|unique))?", text):
        more = _Remark(axis=found[1])
    elif found := _QUALIFIER.fullmatch(text):
        more = _Remark(extension=found[1], qualifier=found[2])
    elif found := _ORIGIN_AT.fullmatch(text):
        more = _Remark(origin=_SAME_POINT_GROUP.get(found[1], found[1]))
    elif found := re.fullmatch(r"(?:no\.?|nr\.?|number)? ?(\d{1,3})", text):
        more = _Remark(number=int(found[1]))
    else:
        return None
    told = {key: value for key, value in vars(more).items() if value}
    return replace(before, **told) if all(vars(before)[key] in ("", 0, told[key]) for key in told) else None


def _allowed(found: _Alternatives, remark: _Remark) -> _Alternatives:
    """Keep the settings that the remarks allow in each alternative."""
    kept = (tuple(entry for entry in one if remark.allows(entry)) for one in found)
    return tuple(one for one in kept if one)


def _glued(text: str, remark: _Remark) -> _Alternatives:
    """List the settings of a name with its extension at the end, such as Fd-3mZ and R-3mHR."""
    for extension in _GLUED:
        base = text[: -len(extension)].strip()
        if base and text.upper().endswith(extension):
            more = _read_remark(extension, remark)
            found = _allowed(_called(base), more) if more else ()
            # A digit may be a symbol's: P 2 1 is not the first origin of P 2.
            if found and (not base[-1].isdigit() or found[0][0].ext == extension):
                return found
    return ()


def _called(name: str) -> _Alternatives:
    """List the settings of a name without remarks."""
    if set(name) & set("_~$\\"):
        return ()  # gemmi leaves some marks out
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

    Empty for text that is no full name of three directions: P 22/c and P 2/1/c cannot be shortened.
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
