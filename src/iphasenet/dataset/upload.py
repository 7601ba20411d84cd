"""A copy of the assembled data set in object storage, and the record that says where it is."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from iphasenet.base.checksums import ROOT, check_files, listed_files
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.marks import LIST, UNLISTED
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.base.reading import read_json, whole_file
from iphasenet.base.seals import kind_of
from iphasenet.base.storage import Folder, Place

_ZARR_FILE = re.compile(r"(.+/)?(zarr\.json|\d+)")


@dataclass(frozen=True)
class Record:
    """
    Record of an uploaded data set.

    Attributes
    ----------
    url : str
        URL of the copy.
    files, bytes : int
        Number of its files, and their size [bytes].
    checksums : str
        SHA-256 of its list of files, which holds the checksum of every file.
    """

    url: str
    files: int
    bytes: int
    checksums: str

    def save(self, path: str | Path) -> None:
        """Write JSON; it appears whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def upload(store: Path, url: str) -> Record:
    """
    Copy a store; an earlier copy is replaced.

    Parameters
    ----------
    store : Path
        Assembled store, whole.
    url : str
        URL of the copy, such as `s3://bucket/sets/demo/dataset.zarr`; the bucket exists.

    Returns
    -------
    Record
        Record of the copy. Its list of files is written last, so that an incomplete copy is never read.

    Raises
    ------
    InputError
        If the store is damaged, the URL cannot be written, or something else than such a data set is there.
    """
    check_files(store)
    target = Folder(url)
    files = {name: store / name for name in (*listed_files(Folder(store)), LIST)}
    there = target.sizes()
    if there and kind_of(url) != "dataset":
        raise InputError(
            f"{url}: found {next(iter(there))}, but no data set that this workflow made; allowed: an empty place or "
            "an earlier copy"
        )
    _check_apart(store, url)
    # An incomplete copy has no list: then files with names like Zarr's belong to it.
    known = listed_files(target).keys() | UNLISTED if LIST in there else set(filter(_ZARR_FILE.fullmatch, there))
    added = sorted(there.keys() - known)
    if added:
        raise InputError(f"{url}: found {added[0]}, which is no part of the earlier copy; allowed: an empty place or a "
                         "copy as it was made")  # fmt: skip
    target.remove([name for name in there if name == LIST or name not in files])
    # The mark is written first, so that an incomplete copy is recognised.
    target.put({ROOT: files[ROOT]})
    target.put({name: path for name, path in files.items() if name not in (ROOT, LIST)})
    target.put({LIST: files[LIST]})
    sizes = {name: path.stat().st_size for name, path in files.items()}
    _compare(url, sizes, target.sizes())
    return Record(url, len(files), sum(sizes.values()), _fingerprint(Folder(store)))


def _check_apart(store: Path, url: str) -> None:
    """Refuse a copy on a local disk that is the store itself, lies in it or in another store, or holds it."""
    if url.startswith(("file://", "local://")):
        place = Path(url.split("://", 1)[1])
        check_outputs([Output("storage", place, folder=True, added=True)], [store])


def _compare(url: str, expected: Mapping[str, int], found: Mapping[str, int]) -> None:
    for name, size in expected.items():
        if found.get(name) != size:
            raise InputError(f"{url}: found {name} with {found.get(name)} bytes; allowed: {size} bytes, as sent")


def find_dataset(place: Place) -> Place:
    """
    Return the URL in a record of an upload; any other place is returned unchanged.

    Parameters
    ----------
    place : path or URL
        A store, or a record of one (`.json`).

    Raises
    ------
    InputError
        If the record cannot be read, or the copy has changed since it was made.
    """
    if Path(str(place)).suffix != ".json":
        return place
    with whole_file(Path(place), "the record of an uploaded data set, or the store"):
        record = Record(**read_json(place))
    if _fingerprint(Folder(record.url)) != record.checksums:
        raise InputError(
            f"{record.url}: found another data set than the one in {place}; allowed: the data set that was uploaded"
        )
    return record.url


def _fingerprint(folder: Folder) -> str:
    """SHA-256 of a store's list of files."""
    return hashlib.sha256("".join(f"{c}  {n}\n" for n, c in listed_files(folder).items()).encode()).hexdigest()
