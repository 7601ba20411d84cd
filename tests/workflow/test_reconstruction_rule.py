"""A folder of images through the workflow."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from rsciio import hspy

from iphasenet.microscope_files.foreign_files import write_image
from tests.unit.microscope_files.segmented_images import fractions
from tests.unit.reconstruction.test_tiled_prediction import image as lattice
from tests.workflow.conftest import snakemake

CONFIG = """
run: mine
reconstruction:
  images: images
  weights: resources/models/laptop.safetensors
  settings: {turns: 1, tilt_deg: [0, 0], rotation_deg: 12.5, scan_rotation_deg: 0}
  own: {second: {thickness_nm: 30}}
simulation: {device: cpu}
"""


def write_images(workflow: Path) -> None:
    """Two images in two formats, and a note beside them."""
    image = replace(fractions(), segments=lattice(64, 64), sampling=0.2, thickness_nm=20.0, order=(0, 1, 2, 3))
    (workflow / "images").mkdir()
    write_image(image, workflow / "images" / "first.hspy")
    write_image(image, workflow / "images" / "second.npz")
    (workflow / "images" / "notes.txt").write_text("mine")
    (workflow / "config" / "mine.yaml").write_text(CONFIG)


def test_every_image_of_a_folder_is_reconstructed_with_its_settings(workflow: Path) -> None:
    write_images(workflow)
    result = snakemake(workflow, "reconstruction", config="config/mine.yaml")
    assert result.returncode == 0, result.stdout[-3000:]
    for name, thickness in (("first", 20), ("second", 30)):
        made = workflow / "results" / "mine" / "reconstruction" / f"{name}.hspy"
        signals = {signal["metadata"]["General"]["title"]: signal for signal in hspy.file_reader(str(made))}
        potential = signals["potential"]
        assert potential["data"].shape == (64, 64) and np.isfinite(potential["data"]).all()
        known = potential["metadata"]["iphasenet"]
        assert known["thickness_nm"] == thickness and known["rotation_deg"] == 12.5
        assert made.with_suffix(".png").is_file()
        assert "mean potential" in (workflow / f"results/mine/logs/reconstruct_image/{name}.log").read_text()
    assert "Nothing to be done" in snakemake(workflow, "reconstruction", config="config/mine.yaml").stdout
    # Another thickness of one image is its own matter.
    path = workflow / "config" / "mine.yaml"
    path.write_text(path.read_text().replace("thickness_nm: 30", "thickness_nm: 35"))
    planned = snakemake(workflow, "reconstruction", "-n", config="config/mine.yaml").stdout
    assert "Reconstruction of second" in planned and "Reconstruction of first" not in planned


def test_the_runs_own_network_is_trained_where_no_other_is_named(workflow: Path) -> None:
    write_images(workflow)
    path = workflow / "config" / "mine.yaml"
    path.write_text(path.read_text().replace("  weights: resources/models/laptop.safetensors\n", ""))
    planned = snakemake(workflow, "reconstruction", "-n", config="config/mine.yaml").stdout
    assert "rule train_model" in planned or "Training" in planned


HOSTILE = {
    "a{b}.npz": "a%7Bb%7D",
    "{wildcards.image}.npz": "%7Bwildcards.image%7D",
    "<run>.npz": "%3Crun%3E",
    "line\nbreak.npz": "line%0Abreak",
    "a,b.npz": "a%2Cb",
    "100%.npz": "100%",
    "%7B.npz": "%257B",
    "--weights.npz": "--weights",
    ' it\'s "my" $HOME `x`;#&*?.npz': ' it\'s "my" $HOME `x`;#&*?',
    "trailing .npz": "trailing ",
    "Å ü.npz": "Å ü",
    "same.npz": "same.npz",
    "same.tif": "same.tif",
    "same.tif.npy": "same.tif.npy",
    "Same.npy": "Same",
    "l" * 251 + ".npz": "l" * 191 + "-8d5c9f5b",
    "\udcff.npz": "%FF",
}
"""Files' names, and those of their outputs."""

STUB = """#!{python}
import os, sys
image, options = sys.argv[-1], sys.argv[:-2]
assert sys.argv[-2] == "--" and open(image, "rb").read() == os.fsencode(os.path.basename(image))
for name in ("--output", "--figure"):
    open(options[options.index(name) + 1], "wb").write(os.fsencode(image))
"""


def test_images_of_any_name_in_a_folder_of_any_name_are_reconstructed(workflow: Path) -> None:
    """What Snakemake, a shell or a command line could take for something else; the command itself is stood in for."""
    folder, commands = workflow / "my {lab} <run>", workflow / "bin"
    folder.mkdir()
    commands.mkdir()
    for name in HOSTILE:
        (folder / name).write_bytes(os.fsencode(name))
    (commands / "python").write_text(STUB.format(python=sys.executable), encoding="utf-8")
    (commands / "python").chmod(0o755)
    path = f"{commands}:{os.environ['PATH']}"
    config = CONFIG.replace("images: images", "images: my {lab} <run>").replace("second", '"a{b}"')
    (workflow / "config" / "mine.yaml").write_text(config, encoding="utf-8")
    result = snakemake(workflow, "reconstruction", config="config/mine.yaml", PATH=path)
    assert result.returncode == 0, result.stdout[-3000:]
    made = workflow / "results" / "mine" / "reconstruction"
    for name, output in HOSTILE.items():
        assert (made / f"{output}.hspy").read_bytes() == os.fsencode(f"my {{lab}} <run>/{name}")
    assert "Nothing to be done" in snakemake(workflow, "reconstruction", config="config/mine.yaml").stdout
    os.utime(folder / "a{b}.npz", (1e9, 1e9))
    planned = snakemake(workflow, "reconstruction", "-n", config="config/mine.yaml").stdout
    assert "Reconstruction of a%7Bb%7D" in planned and "Reconstruction of a%2Cb" not in planned


def test_a_bad_image_is_one_line_and_no_output(workflow: Path) -> None:
    write_images(workflow)
    (workflow / "images" / "third.tif").write_bytes(b"II*\0nonsense")
    result = snakemake(workflow, "results/mine/reconstruction/third.hspy", config="config/mine.yaml")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "iphasenet: images/third.tif: found no readable .tif (no image in it)" in result.stdout
    assert "invalid offset" not in result.stdout
    assert not list((workflow / "results" / "mine" / "reconstruction").glob("third*"))
