"""A network as a folder for a model hub: weights, card, configuration, example."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from safetensors import safe_open

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_directory
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.image_files import read_image
from iphasenet.network.published import ENDINGS, SCRIPTS_ANGLES, load_published
from iphasenet.network.weights import load_weights, save_weights
from iphasenet.reconstruction.preparation import check_known

WEIGHTS = "model.safetensors"


def export_model(
    weights: Path,
    folder: Path,
    card: Path | None = None,
    example: Path | None = None,
    allow_pickle: bool = False,
    angles: Sequence[str] = SCRIPTS_ANGLES,
) -> list[Path]:
    """
    Write a network as a folder for a model hub.

    Parameters
    ----------
    weights : path
        safetensors file that training wrote, or a published state dict.
    folder : path
        Folder to be made, new or empty; it appears whole or not at all.
    card : path, optional
        The network's card (Markdown); the one beside the weights, `NAME.md` or `README.md`, if not given.
    example : path, optional
        Image that the example reconstructs, in any format that is read.
    allow_pickle : bool
        Read a published state dict.
    angles : sequence of str
        Order of the angles in a published state dict.

    Returns
    -------
    list of path
        `model.safetensors`, `README.md`, `config.json` (architecture and what it was trained on), `example.py` and,
        with an example, `example.npz`.

    Raises
    ------
    InputError
        If weights, card or image are missing or unusable, or the folder is not empty.
    """
    check_outputs([Output("--output", folder, folder=True)], [weights, card, example])
    pickled = weights.suffix.lower() in ENDINGS
    # Without allow_pickle, load_weights refuses a pickle.
    network, described = (load_published(weights, angles), {}) if pickled and allow_pickle else load_weights(weights)
    text = _card(weights, card)
    image = None if example is None else read_image(example)
    if image is not None:
        check_known(image)
    configuration = {
        "architecture": asdict(network.settings),
        "output_scale": network.output_scale,
        "sampling_angstrom": round(network.sampling, 9),
        "trained_on": described,
    }
    with atomic_directory(folder) as temporary:
        temporary.mkdir(parents=True)
        save_weights(temporary / WEIGHTS, network, described, half=not pickled and _is_half(weights))
        (temporary / "README.md").write_text(text.replace(weights.name, WEIGHTS), encoding="utf-8")
        settings = json.dumps(configuration, indent=2, ensure_ascii=False) + "\n"
        (temporary / "config.json").write_text(settings, encoding="utf-8")
        script = (files("iphasenet.reconstruction") / "templates" / "example.py.txt").read_text(encoding="utf-8")
        (temporary / "example.py").write_text(script, encoding="utf-8")
        if image is not None:
            write_image(image, temporary / "example.npz")
    return sorted(folder.iterdir())


def _card(weights: Path, card: Path | None) -> str:
    """Text of the card that is given or lies beside the weights."""
    found = [card] if card else [weights.with_suffix(".md"), weights.with_name("README.md")]
    for path in found:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    names = " or ".join(map(str, found))
    raise InputError(
        f"card: found no {names}; give --card FILE, a text that says what the network is and what it was trained on"
    )


def _is_half(weights: Path) -> bool:
    """Whether weights are stored in half precision, which is then kept."""
    with safe_open(weights, framework="pt") as stream:
        return any(stream.get_slice(name).get_dtype() == "F16" for name in stream.keys())  # noqa: SIM118
