"""The conda environments of the rules, without conda: do they hold what their rules import, in versions we allow?"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from benchmarks.gpu.clean import link, with_dependencies
from benchmarks.gpu.layout import CARRIED, PRESENT
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "src" / "iphasenet"
ENVIRONMENTS = sorted(path.stem for path in (ROOT / "envs").glob("*.yaml"))

RENAMED = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
"""Distributions that conda-forge names differently."""

INSTALLERS = {"python", "pip"}
"""What an environment is made with, and no rule imports."""

LOADED_WHEN_USED = {
    "iphasenet.evaluation.scores": {"pyarrow"},
    "iphasenet.evaluation.prediction": {"pyarrow"},
    "iphasenet.evaluation.summary": {"pyarrow"},
    "iphasenet.base.tables": {"pyarrow"},
    "iphasenet.network.potential_network": {"einops"},
    "iphasenet.dataset.upload": {"s3fs"},
    "iphasenet.microscope_files.signal_files": {"sparse"},
    "iphasenet.training.train": {"tensorboard", "torch.distributed.run"},
}
"""Imports that other libraries put off until they are called (pandas, MONAI, fsspec, Lightning), and torchrun."""

NEVER_CALLED = {"report": {"abtem", "pyfftw"}}
"""Imports in functions that none of an environment's rules calls: the report's compute no potential and no waves."""

NOT_THERE = {"abtem", "ase", "gemmi", "jsonschema", "plotly", "rsciio", "snakemake", "spglib", "zarr"}

ON_A_GPU = {
    "iphasenet.multislice.periodic_images",
    "iphasenet.multislice.numerics",
    "iphasenet.training.rendered_frames",
    "iphasenet.training.trained_on",
    "iphasenet.training.trainer",
    "iphasenet.training.module",
    "iphasenet.network.weights",
    "iphasenet.evaluation.prediction",
    "iphasenet.evaluation.metrics",
    "iphasenet.reconstruction.reconstruct",
}
"""Simulation, rendering, training, prediction and reconstruction of what lies in memory or in .npz files."""

IMPORT_ALL = """
import importlib, sys
sys.path += sys.argv[1:3]
for name in sys.argv[3:]:
    importlib.import_module(name)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def declared(environment: str) -> dict[str, str]:
    """Packages of an environment by their names on PyPI, and what is said of their versions."""
    found = {}
    for entry in yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text())["dependencies"]:
        for text in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, version = re.split(r" +|(?===)", text, maxsplit=1) if " " in text or "=" in text else (text, "")
            found[RENAMED.get(name, name)] = version
    return found


def rules() -> Iterator[tuple[str, Path]]:
    """Environment of every rule that has one, and the script or module of the library that it runs."""
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"^ *rule\b.*:$", file.read_text(), flags=re.MULTILINE)[1:]:
            if "script:" not in text and "shell:" not in text:
                continue
            environment = re.search(r'conda:\s+"\.\./\.\./envs/(\w+)\.yaml"', text)
            script, module = re.search(r'script:\s+"\.\./scripts/(\w+\.py)"', text), re.search(r"-m ([\w.]+)", text)
            assert environment and (script or module), text[:40]
            if script:
                yield environment[1], ROOT / "workflow" / "scripts" / script[1]
            elif module:
                yield environment[1], source("iphasenet.cli" if module[1] == "iphasenet" else module[1])


def source(module: str) -> Path:
    """File of a module or package of the library, which need not exist."""
    path = LIBRARY.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def imported(file: Path) -> frozenset[str]:
    """Modules that a file imports, in functions too, and those that the library's among them import."""
    tree = ast.parse(file.read_text())
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    never = {child for guard in guards for child in ast.walk(guard)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in never:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node not in never and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | {
                name for name in inner if name.startswith("iphasenet.") and source(name).is_file()
            }
    for name in [name for name in found if name.startswith("iphasenet.")]:
        found |= imported(source(name))
    own = "iphasenet." + ".".join(file.relative_to(LIBRARY).with_suffix("").parts) if LIBRARY in file.parents else ""
    return frozenset(found | LOADED_WHEN_USED.get(own, set()) | ({own} - {""}))


def needed(environment: str) -> set[str]:
    """Modules that the rules of an environment import."""
    found = set[str]().union(*(imported(file) for name, file in rules() if name == environment))
    return {name for name in found if name.split(".")[0] not in NEVER_CALLED.get(environment, ())}


def import_with(names: Collection[str], modules: Collection[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Import modules in an interpreter that sees its standard library, some distributions and this library alone."""
    folder.mkdir()
    link(names, folder)
    command = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(folder), str(LIBRARY.parent), *sorted(modules)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=folder)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_holds_what_its_rules_import(environment: str, tmp_path: Path) -> None:
    modules, names = needed(environment), declared(environment).keys() - INSTALLERS
    assert len(modules) > 20
    result = import_with(names, modules, tmp_path / "site")
    assert result.returncode == 0, result.stderr[-800:]


def test_a_package_that_an_environment_lacks_is_noticed(tmp_path: Path) -> None:
    names = declared("simulate").keys() - INSTALLERS - {"jsonschema"}
    result = import_with(names, {"iphasenet.planning.configuration"}, tmp_path / "site")
    assert "No module named 'jsonschema'" in result.stderr


def test_what_computes_on_a_gpu_needs_neither_files_of_structures_nor_of_data_sets(tmp_path: Path) -> None:
    assert not NOT_THERE & with_dependencies({*PRESENT, *CARRIED}).keys()
    result = import_with({*PRESENT, *CARRIED}, ON_A_GPU, tmp_path / "site")
    assert result.returncode == 0, result.stderr[-800:]
    assert not NOT_THERE & set(result.stdout.split())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_takes_versions_that_the_library_allows_from_conda_forge_alone(environment: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = {
        r.name: r.specifier
        for r in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["s3"]])
    }
    assert yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text())["channels"] == ["conda-forge"]
    for name in declared(environment).keys() - INSTALLERS:
        lowest = declared(environment)[name].lstrip("=<>")
        assert lowest, f"{name}: no version"
        if name not in allowed:
            assert name in with_dependencies(project["dependencies"]), f"{name}: nothing needs it"
            continue
        assert allowed[name].contains(lowest), f"{name}: {lowest} is not in {allowed[name]}"
