"""How a program ends with an error: one line and an exit code."""

import os
import signal
import sys
import threading
import time
import unicodedata
import warnings
from codecs import register_error
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from iphasenet.base.errors import InputError, InputWarning

STOPPED: dict[int, str] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
"""Signals that end a command in good order."""

GRACE = 10.0
"""Time in which a command that was ended by a signal cleans up and ignores other signals [s]."""


class Stopped(BaseException):
    """A signal asked the command to end."""


@contextmanager
def one_line(program: str, debug: bool = False, mistakes: bool = True) -> Iterator[None]:
    """
    Run a command so that any error that ends it is printed as one line.

    Parameters
    ----------
    program : str
        Name that the line begins with.
    debug : bool
        Let errors pass with their traceback.
    mistakes : bool
        Print unforeseen errors as one line too; a log keeps their traceback instead.

    Raises
    ------
    SystemExit
        With the line and exit code 1; after a signal, with exit code 128 plus the signal's number.
    """
    received: list[int] = []
    try:
        with _signals_raise(received), _warnings_in_one_line(program):
            _write_anything()
            yield
            sys.stdout.flush()
    # Code that a signal interrupts may raise another error, such as an ImportError from an unfinished import.
    except (Stopped, KeyboardInterrupt, Exception) as error:
        number = received[0] if received else signal.SIGINT if isinstance(error, KeyboardInterrupt) else None
        if number is not None:
            print(f"{program}: stopped by {STOPPED[number]}; nothing half-written is left", file=sys.stderr)
            raise SystemExit(128 + number) from None
        assert isinstance(error, Exception)
        if debug or not (mistakes or is_foreseen(error)):
            raise
        _leave(program, error)


@contextmanager
def _warnings_in_one_line(program: str) -> Iterator[None]:
    """Print warnings about input like errors, as one line; other warnings are for programmers and keep their form."""
    before = warnings.formatwarning

    def tell(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
        if issubclass(category, InputWarning):
            return f"{program}: {' '.join(str(message).split())}\n"
        return before(message, category, *where, **more)

    warnings.formatwarning = tell  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning = before


def is_foreseen(error: Exception) -> bool:
    """Whether an error comes from the input or the machine, and not from a mistake of the program."""
    return isinstance(error, InputError | OSError) or is_memory_error(error)


def describe(error: BaseException) -> str:
    """Describe an error in one line for the user of a command."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return text
    if isinstance(error, BrokenPipeError):
        return "the program that reads the output has ended; the rest of the output is lost"
    if is_memory_error(error):
        return f"found too little memory ({text[:200] or 'no details'}); allowed: smaller images, fewer thicknesses"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or text}"
    return f"an error of the program, {type(error).__name__}: {text[:300]}; --debug shows where"


def is_memory_error(error: BaseException) -> bool:
    """Whether there was too little memory; torch says so only in the text of a RuntimeError."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "out of memory" in str(error))
    )


def _leave(program: str, error: BaseException) -> NoReturn:
    """End with a line on stderr, and without the rest of the output where nobody reads it."""
    line = f"{program}: {describe(error)}"
    if isinstance(error, OSError) and not isinstance(error, InputError):
        # Without this, Python would report each stream that it cannot flush when it ends.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(line) from error


@contextmanager
def _signals_raise(received: list[int]) -> Iterator[None]:
    """
    Let a signal end the block like an error, so that it cleans up; signals that are ignored stay ignored (nohup).

    A second signal, such as Ctrl-C pressed twice, would interrupt the cleaning, or end Python with a traceback: it is
    ignored until `GRACE` is over, and after the block. A signal that comes where Python swallows errors, such as in a
    destructor, is sent again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    first: list[float] = []

    def stop(number: int, _frame: Any) -> None:
        if first and time.monotonic() - first[0] < GRACE:
            return
        first[:] = first or [time.monotonic()]
        received.append(number)
        raise Stopped

    def lost(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, Stopped):
            before_lost(unraisable)
            return
        first.clear()
        threading.Timer(0.01, os.kill, (os.getpid(), received.pop())).start()

    before = {number: signal.getsignal(number) for number in STOPPED}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    before_lost, sys.unraisablehook = sys.unraisablehook, lost
    try:
        yield
    finally:
        sys.unraisablehook = before_lost
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if received else handler)


def _write_anything() -> None:
    """Let an output that knows only ASCII print Å, ² and file names in other encodings."""
    register_error("iphasenet", _spelled)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="iphasenet")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Replace characters by their plain letters where they have some, else by a question mark."""
    assert isinstance(error, UnicodeEncodeError)
    plain = "".join(unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode() or "?"
                    for char in error.object[error.start : error.end])  # fmt: skip
    return plain, error.end
