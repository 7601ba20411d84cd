"""How figures, report and viewer write numbers and name methods; imports nothing, so that no reader of words draws."""

_SEEING = {"idpc": "iDPC", "wiener": "Wiener filter", "phase": "phase inversion"}

METHODS = {
    "model": "network",
    **_SEEING,
    **{f"{method}_told": f"{name}, told the tilt" for method, name in _SEEING.items()},
    "nearest": "nearest training sample",
}
"""Name of each method within a sentence, in the order in which methods are shown."""


def capitalised(text: str) -> str:
    """Text as it begins a line; what is spelled otherwise, such as iDPC, stays."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def number_text(template: str, *values: float) -> str:
    """Format with narrow spaces, where no line breaks, between thousands and true minus signs."""
    return template.format(*values).replace(",", "\u202f").replace("-", "−")
