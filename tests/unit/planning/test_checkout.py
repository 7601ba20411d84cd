"""Where a checkout can lie, told before anything is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from iphasenet.base.errors import InputError
from iphasenet.planning.checkout import check_path, check_writable

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["a{b", "a}b", "a\nb", "a\udcffb"])
def test_paths_that_snakemake_cannot_take_are_named(name: str) -> None:
    with pytest.raises(InputError, match=r"checkout: found .*a path with"):
        check_path(f"/home/{name}/iphasenet")


def test_other_paths_are_fine() -> None:
    check_path("/home/my lab's/a:b $x `y` #1 50%/Ångström/iphasenet")


@pytest.mark.parametrize("name", ["a:b", 'a"b', "a$b", "a{b}"])
def test_make_asks_before_it_installs(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for part in ("Makefile", "requirements.lock", "pyproject.toml", "src"):
        (folder / part).symlink_to(ROOT / part)
    result = subprocess.run(
        ["make", "demo", f"PYTHON={sys.executable}"], cwd=folder, capture_output=True, encoding="utf-8"
    )
    first, *rest = result.stderr.splitlines()
    assert result.returncode == 2 and first.startswith("checkout: found ") and len(rest) == 1
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("closed", ["", ".snakemake", "results"])
def test_a_folder_that_cannot_be_written_is_named(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions are stood in for: the super-user has all."""
    (tmp_path / "results").mkdir()
    (tmp_path / ".snakemake").mkdir()
    check_writable(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path / closed)
    with pytest.raises(InputError, match=f"checkout: found {tmp_path / closed}, which cannot be written"):
        check_writable(tmp_path)
