"""Put the results of a GPU machine into docs and resources/models, so that tables are generated, not typed."""

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.layout import COLUMN_WEIGHTS, RESULTS, TRAINED, WEIGHTS
from benchmarks.gpu.pieces import joined
from benchmarks.gpu.results import Row, caption, step_text, table_text
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_json, whole_file
from iphasenet.network.weights import load_weights, weights_in

PLACES = {
    "docs/benchmarks.md": ("tests", "engine", "reconstruction"),
    "docs/training.md": ("throughput", "training"),
    "docs/crystals.md": ("columns",),
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

{where}; mean over quarter turns. Some of these tilts may have been among those that the other
networks were trained on.

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
    texts = {page: (root / page).read_text(encoding="utf-8") for page in PLACES}
    with whole_file(folder / RESULTS, "what run.sh wrote"):
        if results["rehearsal"]:
            raise InputError(f"{folder / RESULTS}: found a rehearsal's numbers; allowed: those of a GPU")
        steps, told = results["steps"], []
        for page, names in PLACES.items():
            for name in names:
                if steps.get(name, {}).get("tables"):
                    texts[page] = _between(texts[page], name, step_text(steps[name]), page)
                    told.append(f"{page}: {name}, {caption(steps[name])}")
        files = {root / page: text.encode() for page, text in texts.items()}
        if "weights" in steps.get("columns", {}).get("facts", {}):
            # Its scores are those of a run's test crystals, which did not travel.
            files[folder / COLUMN_WEIGHTS] = joined(folder, steps["columns"]["facts"]["weights"])
            told.append(f"{folder / COLUMN_WEIGHTS}: to be judged by a run's score_columns")
        if "weights" in steps.get("training", {}).get("facts", {}):
            kept, line = _weights(folder, steps["training"], root / "resources" / "models")
            files |= kept
            told.append(line)
    # All was read and judged before anything is written.
    for path, content in files.items():
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
    return told


def _between(text: str, name: str, inner: str, page: str) -> str:
    """Replace what stands between a page's marks."""
    marks = re.compile(rf"(<!-- gpu:{name} -->\n).*?(<!-- /gpu:{name} -->)", re.DOTALL)
    if not marks.search(text):
        raise InputError(f"{page}: found no marks <!-- gpu:{name} --> ... <!-- /gpu:{name} -->; allowed: one pair")
    return marks.sub(lambda found: f"{found[1]}{inner}\n{found[2]}", text)


def _weights(folder: Path, step: Mapping[str, Any], models: Path) -> tuple[dict[Path, bytes], str]:
    """Weights and their card, where they are worth it, and a line about what became of them."""
    kept, path = step["facts"]["weights"], models / "gpu.safetensors"
    content, scores = joined(folder, kept), step["facts"].get("scores", {})
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / WEIGHTS).write_bytes(content)
        network, described = load_weights(Path(temporary) / WEIGHTS)
    tables = [rows for title, rows in step["tables"].items() if title.startswith("Held-out")]
    reason = _against(scores, kept["sha256"], models) or _in_most_crystals([row for rows in tables for row in rows])
    if reason:
        return {}, f"{path.name}: left out, for {reason}"
    held_out = [table_text(rows) for rows in tables]
    card = _CARD.format(
        parameters=sum(weight.numel() for weight in network.parameters()),
        where=caption(step),
        sampling=network.sampling,
        ranges=table_text([{"": key, "lowest": low, "highest": high} for key, (low, high) in _ranges(described)]),
        materials=", ".join(described["materials"]),
        scores="\n\n".join(held_out),
    )
    told = f"{path.name}: kept, {_shown(scores[TRAINED])} on held-out tilts"
    return {path: content, path.with_suffix(".md"): card.encode()}, told


def _against(scores: Mapping[str, Any], checksum: str, models: Path) -> str:
    """Say why a trained network is not kept: it must beat each that is there in the mean correlation and error."""
    found = scores.get(TRAINED, {})
    if found.get("sha256") != checksum:
        return "its scores did not come back"
    for other in weights_in(models):
        known = hashlib.sha256(other.read_bytes()).hexdigest()
        shipped = next((one for name, one in scores.items() if name != TRAINED and one["sha256"] == known), None)
        if shipped is None:
            return f"{other.name} was not judged beside it; allowed: a folder packed with it"
        # NaN is no better than anything.
        if not (found["pearson"] > shipped["pearson"] and found["mae"] < shipped["mae"]):
            return f"its {_shown(found)} on held-out tilts do not both beat {_shown(shipped)} of {other.name}"
    return ""


def _in_most_crystals(rows: Sequence[Row]) -> str:
    """Say where a mean hides that another network is better for most crystals."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["crystal"] != "mean" and "Pearson" in row:
            found.setdefault(row["network"], {})[row["crystal"]] = row["Pearson"]
    trained = found.pop(TRAINED, {})
    for name, scores in found.items():
        better = sum(trained.get(crystal, -1.0) > score for crystal, score in scores.items())
        if 2 * better <= len(scores):
            return f"it is better than {name} for {better} of {len(scores)} crystals alone"
    return ""


def _shown(score: Mapping[str, float]) -> str:
    return f"Pearson {score['pearson']:.4f}, MAE {score['mae']:.4g} V Å"


def _ranges(described: Mapping[str, Any]) -> list[tuple[str, tuple[float, float]]]:
    return [(name, (low, high)) for name, (low, high) in described["ranges"].items()]
