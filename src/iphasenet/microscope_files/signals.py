"""Signals of microscopy files in HyperSpy's terms; failures of readers are told in one line."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.memory import check_memory
from iphasenet.microscope_files.axes import Axis, arrangement
from iphasenet.microscope_files.segmented_image import describe_shape

_TALKATIVE = ("tifffile", "rsciio")
"""Loggers of readers, which are silenced: a damaged file is reported in one line, other messages are no errors."""


@dataclass(frozen=True)
class Signal:
    """
    One signal of a file, in HyperSpy's terms.

    Attributes
    ----------
    title : str
        Name in the file.
    data : array
        Values, possibly a dask array that is read on access.
    axes : tuple of dict
        Name, size, scale, units and navigate of each axis.
    metadata, original : mapping
        HyperSpy's metadata, and those of the file's format.
    mapping : mapping
        Places in the file's own metadata of HyperSpy's, with the function that converts each.
    """

    title: str
    data: Any
    axes: tuple[Mapping[str, Any], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    original: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.data.shape)

    @property
    def described_axes(self) -> tuple[Axis, ...]:
        """Axes in this library's terms; all are unknown if the file describes only some of them."""
        listed = self.axes if len(self.axes) == len(self.shape) else ({},) * len(self.shape)
        return tuple(
            Axis(
                str(axis.get("name") or ""),
                abs(float(axis.get("scale") or 0)) or None,
                str(axis.get("units") or ""),
                float(axis.get("offset") or 0),
            )
            for axis in listed
        )

    @property
    def arranged(self) -> "Signal":
        """Return the signal with its axes in this library's order, if their names and units tell another one."""
        if not 2 <= len(self.shape) <= 4 or (order := arrangement(self.described_axes)) == tuple(
            range(len(self.shape))
        ):
            return self
        return replace(self, data=self.data.transpose(order), axes=tuple(self.axes[index] for index in order))

    def lookup(self, path: str) -> Any:
        """Value of HyperSpy's metadata at a dotted path, such as Acquisition_instrument.TEM.beam_energy, or None."""
        value = walk(self.metadata, path)
        for place, (target, convert) in self.mapping.items():
            if value is None and target == path and (found := walk(self.original, place)) is not None:
                value = convert(found) if convert else found
        return value


def walk(tree: Any, path: str) -> Any:
    """Value of nested mappings at a dotted path, or None; blanks in names may be written as underscores."""
    for key in path.split("."):
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key, tree.get(key.replace("_", " ")))
    return tree


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """
    Turn any error of a reader on a damaged file into one line, and silence its other messages.

    Parsers of foreign formats may raise anything from KeyError to struct.error. None of these is a fault of this
    program, and their kind tells the user less than that the file is damaged.
    """
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError):
        raise
    except ImportError as error:
        package = error.name or "the package that is named"
        raise InputError(f"{path} cannot be read here ({error}); install {package}") from error
    except Exception as error:
        # If several chunks that Zarr reads in parallel fail, one error is raised; asyncio would print the others later.
        logging.getLogger("asyncio").addFilter(_is_no_leftover)
        told = f"no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
        told = (told or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"{path}: found no readable {path.suffix or 'data'} ({told}); allowed: a whole file"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_no_leftover(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


def load(signal: Signal, path: Path) -> NDArray[Any]:
    """Read the values of a signal into memory; InputError if they do not fit."""
    check_memory(float(signal.data.nbytes), f"{path}: {describe_shape(signal.shape)}")
    with reading(path):
        return np.asarray(signal.data)
