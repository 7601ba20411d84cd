"""Results as JSON and as tables, on a GPU machine and here; needs only the standard library."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Step = Mapping[str, Any]

NOT_MEASURED = "not measured"
"""Column, and fact of a step, that says why there is no number."""

NOT_RUN, TIME_OVER = "not run", "its time was over"
"""How the error of a step begins that was left out, and that of one that was ended."""


def write_json(path: Path, value: Any) -> None:
    """Write JSON; the file appears whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, whatever ends this process."""
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read JSON that may not be there yet."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def caption(step: Step) -> str:
    """Say where and when numbers were measured."""
    return f"{step['device']}, torch {step['torch']}, {step['date']}"


def table_text(rows: Sequence[Row]) -> str:
    """Rows as Markdown; a column stands where the first row has it that has it at all."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([_text(row.get(name, "")) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def step_text(step: Step) -> str:
    """All tables of a step under the line that says where they were measured."""
    parts = [f"{caption(step)}; {step['seconds']:.0f} s."]
    error = step.get("error", "")
    if error:
        parts.append(f"{error[0].upper()}{error[1:]}." if error.startswith(NOT_RUN) else f"The step failed: {error}.")
    parts += [f"{title}:\n\n{table_text(rows)}" for title, rows in step["tables"].items()]
    return "\n\n".join(parts)


def succeeded(step: Step) -> bool:
    """Say whether a step has measured anything, to its end or to that of its time."""
    rows = (row for table in step["tables"].values() for row in table)
    return step["error"] in ("", TIME_OVER) and any("failed" not in row and NOT_MEASURED not in row for row in rows)


def report(results: Mapping[str, Any]) -> str:
    """All steps."""
    head = "# A rehearsal on a CPU: no number is worth reading" if results["rehearsal"] else "# What a GPU shows"
    return "\n\n".join([head, *(f"## {name}\n\n{step_text(step)}" for name, step in results["steps"].items())]) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 0.001 or size == 0 else f"{value:.1e}"
