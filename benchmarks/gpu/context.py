"""What a step is given, and how it keeps what it finds."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.data import Packed, read_data
from benchmarks.gpu.layout import FULL, ROOT, TOY, Sizes
from benchmarks.gpu.results import write_json


@dataclass
class Context:
    """
    A step at work.

    Attributes
    ----------
    results : path
        JSON file of what it finds, written again whenever it finds something.
    output : path
        Folder of what goes back besides.
    until : float
        When it should end (`time.monotonic`) [s].
    rehearsal : bool
        On a CPU, at toy size.
    """

    results: Path
    output: Path
    until: float
    rehearsal: bool
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def sizes(self) -> Sizes:
        """How much is measured."""
        return TOY if self.rehearsal else FULL

    @cached_property
    def device(self) -> torch.device:
        """Where it is measured: this process's GPU."""
        if self.rehearsal:
            return torch.device("cpu")
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cuda", torch.cuda.current_device())

    @cached_property
    def packed(self) -> Packed:
        """What the folder knows of the crystals."""
        return read_data(ROOT / "data")

    @property
    def is_first(self) -> bool:
        """Whether this is the first process, which alone keeps what it finds."""
        return os.environ.get("RANK", "0") == "0"

    @property
    def processes(self) -> int:
        """Processes of this step."""
        return int(os.environ.get("WORLD_SIZE", "1"))

    def left(self) -> float:
        """Time that is left [s]."""
        return self.until - time.monotonic()

    def synchronise(self) -> None:
        """Wait for the GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak(self) -> float | str:
        """Largest memory of the GPU since it was last asked for [GB]; of a CPU it is not known."""
        if self.device.type != "cuda":
            return "-"
        found = torch.cuda.max_memory_allocated(self.device) / 1e9
        torch.cuda.reset_peak_memory_stats(self.device)
        return found

    @contextmanager
    def row(self, table: str, **known: Any) -> Iterator[dict[str, Any]]:
        """
        Measure a row of a table: what fails is its entry, and the rest goes on.

        Parameters
        ----------
        table : str
            Title of the table.
        **known
            First columns of the row.

        Yields
        ------
        dict
            The row, to be filled.
        """
        found = dict(known)
        if self.left() <= 0:
            raise OutOfTimeError(f"no time was left for {table}, {', '.join(map(str, known.values()))}")
        self.peak()
        try:
            yield found
        except OutOfTimeError:
            raise
        except Exception as error:
            logging.getLogger(__name__).exception("%s, %s", table, known)
            found["failed"] = one_line(error)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        self.tables.setdefault(table, []).append(found)
        self.write()

    def write(self) -> None:
        """Write what was found so far."""
        if not self.is_first:
            return
        name = "CPU" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        where = name if self.processes == 1 else f"{self.processes} x {name}"
        known = {"device": where, "torch": torch.__version__, "error": self.error}
        write_json(self.results, {**known, "tables": self.tables, "facts": self.facts})


class OutOfTimeError(Exception):
    """A step's time is over."""


def one_line(error: BaseException) -> str:
    """Say what failed, short enough for a table."""
    text = " ".join(str(error).split()).replace("|", "/")[:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
