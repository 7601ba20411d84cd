"""A network as a model hub wants it: what is in the folder, and that its example runs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from iphasenet.cli import main
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.network.weights import load_weights
from tests.unit.microscope_files.segmented_images import fractions
from tests.unit.network.test_published import bare
from tests.unit.reconstruction.test_tiled_prediction import image as lattice

SHIPPED = Path(__file__).parents[3] / "resources" / "models" / "laptop.safetensors"


def test_the_folder_holds_weights_card_configuration_and_an_example_that_runs(tmp_path: Path) -> None:
    known = replace(fractions(), segments=lattice(64, 64), sampling=0.2, scan_rotation_deg=0.0)
    write_image(known, tmp_path / "gan.hspy")
    folder = tmp_path / "hub"
    main(["export", str(SHIPPED), "--output", str(folder), "--example", str(tmp_path / "gan.hspy")])
    names = ["README.md", "config.json", "example.npz", "example.py", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    (network, described), (original, _) = load_weights(folder / "model.safetensors"), load_weights(SHIPPED)
    state = original.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert abs((folder / "model.safetensors").stat().st_size - SHIPPED.stat().st_size) < 1000
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense:") and 'load_weights("model.safetensors")' in card
    configuration = json.loads((folder / "config.json").read_text())
    assert configuration["architecture"]["feature_size"] == 12 and configuration["sampling_angstrom"] == 0.2
    assert configuration["trained_on"] == described
    result = subprocess.run([sys.executable, folder / "example.py"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "(64, 64) pixels of 0.2 Å" in result.stdout and "mean potential" in result.stdout


def test_a_published_state_dict_becomes_such_a_folder(tmp_path: Path) -> None:
    torch.save(bare(8).state_dict(), tmp_path / "best_model.pt")
    (tmp_path / "card.md").write_text("What best_model.pt is.")
    options = ["export", str(tmp_path / "best_model.pt"), "--output", str(tmp_path / "hub")]
    options += ["--card", str(tmp_path / "card.md")]
    with pytest.raises(SystemExit, match="--allow-pickle"):
        main(options)
    assert not (tmp_path / "hub").exists()
    main([*options, "--allow-pickle"])
    network, _ = load_weights(tmp_path / "hub" / "model.safetensors")
    assert network.settings.output == "projected"
    assert (tmp_path / "hub" / "README.md").read_text() == "What model.safetensors is."


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--card", "none.md"], "none.md"),
        (["--example", "none.npz"], "none.npz"),
        (["--output", "."], "a folder with mine.npy"),
        (["--example", "unknown.npy"], "--thickness"),
    ],
)
def test_what_will_not_do_is_one_line_and_leaves_nothing(options: list[str], part: str, tmp_path: Path) -> None:
    if options == ["--output", "."]:
        np.save(tmp_path / "mine.npy", np.zeros(3))
        options = ["--output", str(tmp_path)]
    if "unknown.npy" in options:
        np.save(tmp_path / "unknown.npy", lattice(64, 64))
        options = ["--example", str(tmp_path / "unknown.npy")]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as caught:
        main(["export", str(SHIPPED), "--output", str(tmp_path / "hub"), *options])
    assert part in str(caught.value.code) and "\n" not in str(caught.value.code)
    assert sorted(tmp_path.iterdir()) == before
