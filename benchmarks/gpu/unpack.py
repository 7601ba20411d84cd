"""What came back from a GPU machine, put into docs and resources/models: tables are generated, not typed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.layout import RESULTS
from benchmarks.gpu.pieces import joined
from benchmarks.gpu.results import caption, step_text, table_text
from iphasenet.errors import InputError
from iphasenet.files import atomic_file
from iphasenet.reading import read_json
from iphasenet.weights import load_weights

PLACES = {
    "docs/benchmarks.md": ("tests", "engine", "reconstruction"),
    "docs/training.md": ("throughput", "training"),
}
"""Steps whose tables stand in a page, between `<!-- gpu:NAME -->` and `<!-- /gpu:NAME -->`."""

_CARD = """---
license: mit
library_name: iphasenet
pipeline_tag: image-to-image
tags:
- scanning transmission electron microscopy
- electrostatic potential
---

# gpu: from four segment images to the projected potential

A SwinUNETR of {parameters:,} parameters, trained for minutes on {where}, on crops rendered there from periodic images
(`python -m benchmarks.gpu`). In: images of the four quadrants of a segmented detector, fractions of the beam current,
{sampling:g} Å per pixel; thickness [nm], tilt (alpha, beta) and rotation gamma [degrees]. Out: the projected
electrostatic potential [V Å]. It is read and used as [laptop](laptop.md) is.

## Trained on

{ranges}

{materials}. Outside these ranges, and for other crystals, nothing is known about it.

## Scores on held-out tilts

{where}; mean over quarter turns. Some of these tilts may have been among those that `shipped`, the weights of
`laptop.safetensors`, were trained on.

{scores}
"""


def unpack(folder: Path, root: Path) -> list[str]:
    """
    Put results into a repository.

    Parameters
    ----------
    folder : path
        What run.sh wrote; a packed folder with it in `results` will do.
    root : path
        The repository.

    Returns
    -------
    list of str
        What was written, a line each; InputError where there are no results, or those of a rehearsal.
    """
    folder = folder if (folder / RESULTS).is_file() else folder / "results"
    results = read_json(folder / RESULTS)
    if results["rehearsal"]:
        raise InputError(f"{folder / RESULTS}: found a rehearsal's numbers; allowed: those of a GPU")
    steps, told = results["steps"], []
    for page, names in PLACES.items():
        text = (root / page).read_text(encoding="utf-8")
        for name in names:
            if steps.get(name, {}).get("tables"):
                text = _between(text, name, step_text(steps[name]), page)
                told.append(f"{page}: {name}, {caption(steps[name])}")
        with atomic_file(root / page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    facts = steps.get("training", {}).get("facts", {})
    if "weights" in facts:
        told.append(_keep_weights(folder, steps["training"], root / "resources" / "models" / "gpu.safetensors"))
    return told


def _between(text: str, name: str, inner: str, page: str) -> str:
    """Replace what stands between a page's marks."""
    marks = re.compile(rf"(<!-- gpu:{name} -->\n).*?(<!-- /gpu:{name} -->)", re.DOTALL)
    if not marks.search(text):
        raise InputError(f"{page}: found no marks <!-- gpu:{name} --> ... <!-- /gpu:{name} -->; allowed: one pair")
    return marks.sub(lambda found: f"{found[1]}{inner}\n{found[2]}", text)


def _keep_weights(folder: Path, step: Mapping[str, Any], path: Path) -> str:
    """Keep a network that is better than the shipped one, with its card; say whether it was."""
    content, scores = joined(folder, step["facts"]["weights"]), dict(step["facts"].get("pearson", {}))
    shipped = scores.pop("shipped", None)
    if not scores or shipped is None:
        return f"{path.name}: left out, for its scores did not come back"
    name, pearson = next(iter(scores.items()))
    # NaN is no better than anything.
    if not pearson > shipped:
        return f"{path.name}: left out, for its Pearson {pearson:.4f} on held-out tilts is no better than {shipped:.4f}"
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
        network, described = load_weights(temporary)
    held_out = next(rows for title, rows in step["tables"].items() if title.startswith("Held-out"))
    card = _CARD.format(
        parameters=sum(weight.numel() for weight in network.parameters()),
        where=caption(step),
        sampling=network.sampling,
        ranges=table_text([{"": key, "lowest": low, "highest": high} for key, (low, high) in _ranges(described)]),
        materials=", ".join(described["materials"]),
        scores=table_text(held_out),
    )
    with atomic_file(path.with_suffix(".md")) as temporary:
        temporary.write_text(card, encoding="utf-8")
    return f"{path.name}: {name}, Pearson {pearson:.4f} on held-out tilts, the shipped network {shipped:.4f}"


def _ranges(described: Mapping[str, Any]) -> list[tuple[str, tuple[float, float]]]:
    return [(name, (low, high)) for name, (low, high) in described["ranges"].items()]
