"""Inputs of a step, and the storage of its results."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.data import Packed, read_data
from benchmarks.gpu.layout import FULL, ROOT, TOY, Sizes
from benchmarks.gpu.results import NOT_MEASURED, write_json


@dataclass
class Context:
    """
    A step at work.

    Attributes
    ----------
    results : path
        JSON file of its results, written again after each of them.
    output : path
        Folder of other files that go back.
    until : float
        Time at which it should end (`time.monotonic`) [s].
    rehearsal : bool
        Whether it runs on a CPU, at toy size.
    tables, facts : dict
        Results so far.
    error : str
        Reason of an early end.
    done : bool
        Whether it is complete; if its process is ended afterwards, this is no failure.
    """

    results: Path
    output: Path
    until: float
    rehearsal: bool
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    done: bool = False

    @property
    def sizes(self) -> Sizes:
        """Amount of work that is measured."""
        return TOY if self.rehearsal else FULL

    @cached_property
    def device(self) -> torch.device:
        """Device that is measured: this process's GPU."""
        if self.rehearsal:
            return torch.device("cpu")
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cuda", torch.cuda.current_device())

    @cached_property
    def packed(self) -> Packed:
        """Data of the crystals in the packed folder."""
        return read_data(ROOT / "data")

    @property
    def is_first(self) -> bool:
        """Whether this is the first process; only this one keeps results."""
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
        """Largest memory of the GPU since the last call [GB]; unknown for a CPU."""
        if self.device.type != "cuda":
            return "-"
        found = torch.cuda.max_memory_allocated(self.device) / 1e9
        torch.cuda.reset_peak_memory_stats(self.device)
        return found

    def plan(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Say which rows of a table are to be measured: one that is not reached is there, and says why."""
        self.tables.setdefault(table, []).extend({**known, NOT_MEASURED: "no time was left"} for known in rows)

    def keep(self, table: str, row: Mapping[str, Any], **known: Any) -> None:
        """Put a row where it was planned, found by its first columns, or else at the end."""
        rows = self.tables.setdefault(table, [])
        planned = (number for number, one in enumerate(rows) if NOT_MEASURED in one and {**one, **known} == one)
        number = next(planned, len(rows))
        rows[number : number + 1] = [dict(row)]
        self.write()

    @contextmanager
    def row(self, table: str, **known: Any) -> Iterator[dict[str, Any]]:
        """
        Measure a row of a table; a failure becomes its entry, and the step goes on.

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
            self.keep(table, {**known, NOT_MEASURED: "no time was left"}, **known)
            raise OutOfTimeError(f"no time was left for {table}, {', '.join(map(str, known.values()))}")
        # What ends this process leaves this behind.
        self.keep(table, {**known, NOT_MEASURED: "begun, and not ended"}, **known)
        self.peak()
        try:
            yield found
        except OutOfTimeError as over:
            found[NOT_MEASURED] = str(over)
            raise
        except Exception as error:
            logging.getLogger(__name__).exception("%s, %s", table, known)
            found["failed"] = one_line(error)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        finally:
            self.keep(table, found, **known)

    def write(self) -> None:
        """Write what was found so far."""
        if not self.is_first:
            return
        name = "CPU" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        where = name if self.processes == 1 else f"{self.processes} x {name}"
        known = {"device": where, "torch": torch.__version__, "error": self.error, "done": self.done}
        write_json(self.results, {**known, "tables": self.tables, "facts": self.facts})


class OutOfTimeError(Exception):
    """A step's time is over."""


def one_line(error: BaseException) -> str:
    """Say what failed, short enough for a table."""
    text = " ".join(str(error).split()).replace("|", "/")[:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
