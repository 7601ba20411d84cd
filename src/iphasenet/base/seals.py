"""Seals of stores: a mark that says what a store is and that this library made it, and checksums of all its files.

A store is sealed where it is written first, and its seal is checked wherever it is opened. What a seal cannot see
without reading everything, a damaged chunk, is noticed by the checksum that each chunk ends with.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import FsspecStore

from iphasenet.base.checksums import ROOT, check_seal, write_checksums
from iphasenet.base.errors import InputError
from iphasenet.base.file_checks import SMALL, check_claim
from iphasenet.base.files import atomic_directory
from iphasenet.base.marks import KEY, LIST
from iphasenet.base.storage import TRIES, Folder, Place, is_url, reached, storage_options

if TYPE_CHECKING:
    import xarray

Kind = Literal["material", "dataset", "predictions", "simulation", "sample"]
KINDS: dict[str, str] = {
    "material": "one material's samples, as this workflow wrote them",
    "dataset": "a data set made by this workflow",
    "predictions": "a store that the network's predictions are in",
    "simulation": "a store that `iphasenet simulate` wrote",
    "sample": "a store that `iphasenet render` wrote",
}
"""What each kind of store is, in words."""

GUARDED = (BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec())
"""Of images: floats compress to three quarters; a damaged chunk is noticed by whoever reads it."""


@contextmanager
def sealed_store(path: str | Path, kind: Kind, known: Mapping[str, str] | None = None) -> Iterator[Path]:
    """
    Make a store that is sealed and appears whole or not at all.

    Parameters
    ----------
    path : path
        Store to be made.
    kind : str
        What it is, one of `KINDS`.
    known : mapping, optional
        Checksums of files that are copied into it, by name: filled within the block, so that what happens to a file
        on its way gets no fresh checksum.

    Yields
    ------
    Path
        Folder to write the arrays into, as `iphasenet.base.files.atomic_directory`.
    """
    with atomic_directory(path, kind) as temporary:
        yield temporary
        seal(temporary, kind, known)


def seal(store: Path, kind: Kind, known: Mapping[str, str] | None = None) -> None:
    """Mark a store's root, gather its metadata in one file and list the checksums of its files; as `sealed_store`."""
    (store / LIST).unlink(missing_ok=True)
    zarr.open_group(store, mode="r+", zarr_format=3, use_consolidated=False).attrs[KEY] = kind
    with warnings.catch_warnings():
        # An extension that readers may ignore.
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        # Opening is fast, and Snakemake's time stamp is no part of the store.
        zarr.consolidate_metadata(store, zarr_format=3)
    write_checksums(store, known or {})


def write_xarray(path: str | Path, data: "xarray.Dataset", kind: Kind) -> None:
    """Write arrays as a sealed store whose chunks end with a checksum each; it appears whole or not at all."""
    encoding = {name: {"compressors": GUARDED} for name in data.variables}
    with sealed_store(path, kind) as folder:
        data.to_zarr(folder, zarr_format=3, consolidated=False, encoding=encoding)


def kind_of(place: Place) -> Kind | None:
    """Say what kind of store this library made at a place, by its mark; None if no mark can be read."""
    try:
        with Folder(place).open(ROOT) as stream:
            attributes = json.loads(stream.read())["attributes"]
        return _kind(attributes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kind(attributes: Mapping[str, Any]) -> Kind | None:
    """Kind by a root's attributes. Data sets that were assembled before there were marks name their versions."""
    versions = attributes.get("versions")
    if KEY not in attributes and isinstance(versions, Mapping) and "iphasenet" in versions:
        return "dataset"
    marked = attributes.get(KEY)
    return marked if marked in get_args(Kind) else None


def open_store(place: Place, kind: Kind) -> zarr.Group:
    """
    Open a store for reading: the one door.

    Parameters
    ----------
    place : path or URL
        Where it is.
    kind : str
        What it must be, one of `KINDS`.

    Returns
    -------
    zarr.Group
        Its root. Chunks that are damaged are noticed when they are read (`iphasenet.dataset.reader.read_rows`).

    Raises
    ------
    InputError
        Where there is none or another kind, it cannot be reached, a file is missing, its metadata are damaged or claim
        more than there is.
    """
    root = open_root(place, kind)
    # Data sets that were assembled earlier have no mark: nothing else was sealed then.
    found = root.attrs.get(KEY, "dataset")
    if found != kind:
        said = KINDS.get(str(found), f"the unknown mark {found!r}")
        raise InputError(f"{place}: found {said}; allowed: {KINDS[kind]}")
    check_seal(place)
    return root


def open_root(place: Place, kind: Kind) -> zarr.Group:
    """Open a store without a look at its seal, as the check of all of it must; as `open_store`."""
    try:
        with reached(place):
            # Asked for: without metadata in one place, Zarr would look for others in all files.
            root = zarr.open_group(_source(place), mode="r", zarr_format=3, use_consolidated=True)
            _check_claims(root, place)
            return root
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{place}: found no Zarr v3 store; allowed: {KINDS[kind]}") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{place}: found metadata ({ROOT}) that are damaged or an earlier version's; allowed: {KINDS[kind]}"
        ) from error


def _check_claims(root: zarr.Group, place: Place) -> None:
    """Refuse arrays that cannot be in their files; none is listed for those that any store may hold."""
    arrays = [(name, array) for name, array in root.members(max_depth=None) if isinstance(array, zarr.Array)]
    if all(array.nbytes <= SMALL for _, array in arrays):
        return
    sizes = Folder(place).sizes()
    for name, array in arrays:
        stored = sum(size for file, size in sizes.items() if file.startswith(f"{name}/"))
        check_claim(f"{place}: {name}", array.shape, array.dtype.itemsize, stored)


def _source(place: Place) -> Place | FsspecStore:
    """Return what Zarr reads a path or URL from."""
    if not is_url(place):
        return place
    store = FsspecStore.from_url(str(place), storage_options(place), read_only=True)
    store.fs.retries = TRIES
    return store
