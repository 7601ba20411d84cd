"""Simulations in several processes: one simulation is many short steps of Python, which threads cannot share.

Processes are loky's: unlike those of the standard library, they do not import the user's script again, and they are
kept between fits.
"""

import importlib
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import Any, TypeVar

from loky import get_reusable_executor

from iphasenet.base.errors import InputError

Result = TypeVar("Result")

_IDLE_S = 60
"""Processes without work end after this time [seconds]."""

_WATCH_S = 2
"""They look this often whether the program that started them still runs [seconds]: it may have been killed."""


def start_processes(number: int) -> None:
    """Start processes, if it takes several, so that they are ready when they are needed."""
    if number > 1:
        _executor(number).submit(int)


def calls(method: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], processes: int = 1) -> Iterator[Result]:
    """
    Call a method with several arguments, in several processes at a time.

    Parameters
    ----------
    method : bound method
        Method of an object that can be pickled. Each process keeps the object, and with it what the object has prepared
        in an earlier call.
    arguments : sequence of tuple
        Arguments of each call.
    processes : int
        Calls at a time; with one they are made here.

    Yields
    ------
    object
        Results, in the order of the arguments.

    Raises
    ------
    InputError
        If a process was killed.
    """
    if processes == 1 or len(arguments) < 2:
        yield from (method(*one) for one in arguments)
        return
    executor, pickled = _executor(processes), pickle.dumps(method)
    futures = [executor.submit(_call, pickled, one) for one in arguments]
    try:
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        raise InputError(
            f"threads: found {processes} processes, one of which was killed, as happens where memory is short; "
            "allowed: fewer"
        ) from error
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        # Whoever stops the program does not wait for simulations.
        executor.shutdown(wait=False, kill_workers=True)
        raise
    finally:
        for future in futures:
            future.cancel()


def _executor(number: int) -> Any:
    return get_reusable_executor(
        max_workers=number,
        timeout=_IDLE_S,
        initializer=_prepare,
        initargs=(os.getpid(),),
        env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )


def _prepare(parent: int) -> None:
    """Import what simulations need, and end this process when the one that started it has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    importlib.import_module("iphasenet.fitting.search")


def _call(pickled: bytes, arguments: tuple[Any, ...]) -> Any:
    return _unpickled(pickled)(*arguments)


@lru_cache(maxsize=4)
def _unpickled(pickled: bytes) -> Callable[..., Any]:
    method: Callable[..., Any] = pickle.loads(pickled)
    return method
