"""What the Slurm profile would submit; `make test-slurm` submits it."""

import re
from pathlib import Path

from tests.workflow.conftest import snakemake


def test_the_full_grid_is_some_tens_of_submissions(workflow: Path) -> None:
    result = snakemake(workflow, "-n", "--workflow-profile", "profiles/slurm", config="config/config.yaml")
    assert result.returncode == 0, result.stdout[-3000:]
    assert result.stdout.count("Multislice of") == 5 * 43
    assert len(re.findall("Group job simulation", result.stdout)) == -(-5 * 43 // 8)
    assert len(re.findall("Group job potential", result.stdout)) == 1


def test_several_nodes_are_refused_on_one_machine(workflow: Path) -> None:
    text = (workflow / "config" / "tiny.yaml").read_text()
    (workflow / "config" / "nodes.yaml").write_text(text.replace("jobs:", "jobs:\n  training_nodes: 2"))
    result = snakemake(workflow, config="config/nodes.yaml")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert re.search(r"^training: found jobs\.training_nodes 2 on one machine; allowed: 1", result.stdout, re.MULTILINE)
    assert not (workflow / "results").exists()
