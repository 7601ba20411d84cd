"""What README and notebook show, as they show it: the commands run as they are typed, and the cells in their order."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import xarray
from nbclient import NotebookClient
from rsciio import zspy

ROOT = Path(__file__).parents[2]


def commands(section: str) -> list[str]:
    """Commands of a section of the README, each with its continued lines."""
    text = (ROOT / "README.md").read_text()
    body = re.search(rf"^## {re.escape(section)}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert body is not None
    lines = [line[4:] for line in body[1].splitlines() if line.startswith("    ")]
    return "\n".join(lines).replace("\\\n", "").splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the repository's resources, as the README's commands expect them."""
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    return tmp_path


def test_the_commands_lead_from_a_crystal_to_the_picture_and_back_to_its_tilt(folder: Path) -> None:
    """The result is the simulated potential, on the network's pixels; the fit finds what the simulation was told."""
    tour = [command for command in commands("Your own images") if command.startswith("iphasenet ")]
    assert [command.split()[1] for command in tour] == ["simulate", "export", "reconstruct", "fit"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    for command in tour:
        result = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, result.stderr
        assert "warning" not in result.stderr
    assert (folder / "potential.png").read_bytes().startswith(b"\x89PNG")
    signals = {signal["metadata"]["General"]["title"]: signal for signal in zspy.file_reader(folder / "potential.zspy")}
    assert sorted(signals) == ["idpc", "mean_potential", "potential", "spread"]
    potential = np.asarray(signals["potential"]["data"])
    assert [axis["scale"] for axis in signals["potential"]["axes"]] == [0.2, 0.2]
    with xarray.open_zarr(folder / "gan.zarr") as simulated:
        truth = simulated["potential"].values[0].reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(potential.ravel(), truth.ravel())[0, 1] > 0.98
    assert np.abs(potential - truth).mean() < 0.03 * truth.max()
    fitted = json.loads((folder / "fit.json").read_text())["parameters"]
    found = [fitted[name]["value"] for name in ("alpha_deg", "beta_deg", "gamma_deg", "thickness_nm")]
    assert np.abs(np.array(found) - (0.3, -0.1, 12.5, 40)).max() < 0.5
    np.testing.assert_allclose(found[:2], (0.3, -0.1), atol=0.01)
    assert (folder / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_the_notebook_runs_and_is_kept_without_outputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    monkeypatch.setenv("MPLBACKEND", "agg")
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    printed = "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")
    correlation = re.search(r"correlation with the truth (\d\.\d+)", printed)
    assert correlation is not None and float(correlation[1]) > 0.95
    tilt = [float(re.search(rf"{name}_deg (-?\d\.\d+)", printed)[1]) for name in ("alpha", "beta")]  # type: ignore[index]
    np.testing.assert_allclose(tilt, (0.3, -0.1), atol=0.01)
    fitted = re.search(r"fitted potential and truth: (\d\.\d+)", printed)
    assert fitted is not None and float(fitted[1]) > 0.98
    assert "as given" in printed and (folder / "potential.hspy").is_file()
