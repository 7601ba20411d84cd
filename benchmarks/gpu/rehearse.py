"""Rehearsal on a CPU at toy size, in an interpreter with only the packages that a GPU machine is assumed to have."""

import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.gpu.clean import clean_interpreter
from benchmarks.gpu.layout import PRESENT
from benchmarks.gpu.pack import pack
from benchmarks.gpu.simulated import TOY, on_the_spot, shipped, toy_corpus

_MINUTES = 20.0
"""Time for the steps, of which they need a tenth on two idle cores."""


def rehearse(folder: Path | None = None, minutes: float = _MINUTES) -> int:
    """
    Pack a toy, and run it as a GPU machine would.

    Parameters
    ----------
    folder : path, optional
        Where to: `pack` with `results` in it, and `python`, the clean interpreter; a temporary one if not given.
    minutes : float
        Time for the steps.

    Returns
    -------
    int
        Exit code of run.sh.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            return rehearse(Path(name), minutes)
    pack(folder / "pack", partial(on_the_spot, shipped(TOY)), wheels=True, corpus=toy_corpus())
    python = clean_interpreter(PRESENT, folder / "python")
    # Nothing of this interpreter's surroundings.
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR", "OMP_NUM_THREADS") if name in os.environ}
    command = ["bash", str(folder / "pack" / "run.sh"), "--rehearse", "--devices", "2", "--minutes", str(minutes)]
    return subprocess.run(command, env={**kept, "PYTHON": str(python)}, cwd=folder, check=False).returncode
