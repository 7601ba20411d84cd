"""Where training processes are started."""

import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.job_log import check_scratch
from iphasenet.training.launch import main, torchrun_options

STEP = {
    "SLURM_JOB_ID": "120034",
    "SLURM_NODEID": "1",
    "SLURM_JOB_NODELIST": "node[3-4]",
    "SLURM_NNODES": "2",
    "SLURM_STEP_NUM_NODES": "2",
}


def hosts(nodes: str) -> list[str]:
    return {"node[3-4]": ["node3", "node4"]}[nodes]


def test_one_machine_needs_no_slurm() -> None:
    assert torchrun_options({}, 1, 4, hosts) == ["--standalone", "--nproc-per-node=4"]
    assert torchrun_options(STEP, 1, 4, hosts) == ["--standalone", "--nproc-per-node=4"]


def test_several_meet_at_the_first_one() -> None:
    first, second = (torchrun_options({**STEP, "SLURM_NODEID": rank}, 2, 4, hosts) for rank in "01")
    assert "--master-addr=node3" in first and "--master-port=20034" in first and "--nproc-per-node=4" in first
    assert [a for a, b in zip(first, second, strict=True) if a != b] == ["--node-rank=0"]


@pytest.mark.parametrize("environment", [{}, {**STEP, "SLURM_STEP_NUM_NODES": "1"}])
def test_fewer_machines_than_asked_for_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"found 1 machine.* jobs\.training_nodes 2"):
        torchrun_options(environment, 2, 1, hosts)


def test_a_scratch_folder_is_made_or_refused_in_one_line(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "new" / "folder"))
    check_scratch()
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"scratch: found .*file, which cannot be written on .*; allowed: "):
        check_scratch()
    with pytest.raises(SystemExit, match="scratch: found"):
        main(["--processes", "1", "--", "-m", "never"])
