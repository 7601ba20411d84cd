"""Where errors leave the program: one line each, and an exit code."""

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
"""Time in which a command that a signal ended cleans up, and hears no other signal [s]."""


class Stopped(BaseException):
    """A signal asked the command to end."""


@contextmanager
def one_line(program: str, debug: bool = False, mistakes: bool = True) -> Iterator[None]:
    """
    Run a command so that whatever ends it is told in one line.

    Parameters
    ----------
    program : str
        Name that the line begins with.
    debug : bool
        Let errors pass with their traceback.
    mistakes : bool
        Tell errors that the program did not foresee in one line too; a log is the better for their traceback.

    Raises
    ------
    SystemExit
        With the line, which makes the exit code 1; 128 and the signal's number where a signal ended it.
    """
    received: list[int] = []
    try:
        with _signals_raise(received), _warnings_in_one_line(program):
            _write_anything()
            yield
            sys.stdout.flush()
    # What a signal breaks off may end as another error: half an import as an ImportError.
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
    """Tell doubtful input as errors are told; other warnings are for programmers and keep their form."""
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
    """Say in one line what an error means to the user of a command."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return text
    if isinstance(error, BrokenPipeError):
        return "the program that reads the output has ended; the rest of it is lost"
    if is_memory_error(error):
        return f"found too little memory ({text[:200] or 'no details'}); allowed: smaller images, fewer thicknesses"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or text}"
    return f"an error of the program, {type(error).__name__}: {text[:300]}; --debug shows where"


def is_memory_error(error: BaseException) -> bool:
    """Whether memory was asked for that is not there; torch says so in a RuntimeError's text alone."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "out of memory" in str(error))
    )


def _leave(program: str, error: BaseException) -> NoReturn:
    """End with a line; what is left of the output has nowhere to go."""
    line = f"{program}: {describe(error)}"
    if isinstance(error, OSError) and not isinstance(error, InputError):
        # Python would complain once more of each stream that it cannot flush at its end.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(line) from error


@contextmanager
def _signals_raise(received: list[int]) -> Iterator[None]:
    """
    Let signals end the block as an error would, so that it cleans up; those that are ignored stay so (nohup).

    A second one, such as Ctrl-C pressed twice, would break off the cleaning, or make Python's own end a traceback: it
    is not heard before `GRACE` is over, nor after the block. Where a signal came when Python does not let an error
    pass, such as in a destructor, it comes again.
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
    """Let Å, ² and names that are no text pass through an output that knows ASCII alone."""
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
