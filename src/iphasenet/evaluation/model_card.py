"""Files beside the weights: a model card, and the bare network for users of the published scripts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_json
from iphasenet.network.weights import load_weights, save_weights, write_pytorch


def describe_model(weights: Path, summary: Path, card: Path, state: Path | None, run: str) -> None:
    """
    Write a model card, and the SwinUNETR's state dict.

    Parameters
    ----------
    weights : Path
        Weights that training wrote.
    summary : Path
        Mean scores of the evaluation (JSON).
    card : Path
        Markdown file to be made.
    state : Path, optional
        PyTorch file to be made: tensors by MONAI's names.
    run : str
        Name of the run.
    """
    network, trained = load_weights(weights)
    scores = read_json(summary)
    environment = Environment(loader=PackageLoader("iphasenet.evaluation"), undefined=StrictUndefined, trim_blocks=True)
    text = environment.get_template("model_card.md").render(
        run=run,
        parameters=sum(weight.numel() for weight in network.parameters()),
        trained=trained,
        weights=weights.name,
        state=state.name if state else None,
        plain=network.modulation is None and network.settings.projection == "direct",
        scores=scores,
        rows={name: _means(part) for name, part in {"all": scores["scores"], **scores["by"]["material"]}.items()},
        configuration=yaml.safe_dump({key: trained[key] for key in ("noise", "model", "training")}, sort_keys=False),
    )
    if state is not None:
        write_pytorch(state, network.network.state_dict())
    with atomic_file(card) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _means(scores: Mapping[str, Any]) -> dict[str, float]:
    """Means of the network's metrics, without their intervals."""
    return {name: number["mean"] for name, number in scores["model"].items()}


def publish_model(run: Path, output: Path) -> None:
    """
    Write a run's network as in `resources/models`: weights in half precision, and their card.

    Parameters
    ----------
    run : Path
        Results of a run that ended.
    output : Path
        safetensors file to be made; the card beside it has the ending `.md`.
    """
    network, trained = load_weights(run / "model" / "weights.safetensors")
    save_weights(output, network, trained, half=True)
    describe_model(output, run / "evaluation" / "summary.json", output.with_suffix(".md"), None, run.name)
