"""What a Merlin camera's file (.mib) says of its patterns."""

from pathlib import Path

from iphasenet.errors import InputError
from iphasenet.user_images.segmented_image import describe_shape
from iphasenet.user_images.signals import Signal, walk


def check_whole(signal: Signal, path: Path, scan_shape: tuple[int, int] | None) -> None:
    """
    Refuse a file whose scan has no shape, or fewer patterns than it should: RosettaSciIO reads what there is.

    Parameters
    ----------
    signal : Signal
        Patterns of the file.
    path : path
        The file.
    scan_shape : (int, int), optional
        Rows and columns that the user gave.

    Raises
    ------
    InputError
        As said.
    """
    frames = walk(signal.original, "hdr_file.Frames in Acquisition (Number)")
    wanted = scan_shape[0] * scan_shape[1] if scan_shape else int(frames or 0)
    if len(signal.shape) == 4 and (found := signal.shape[0] * signal.shape[1]) < wanted:
        raise InputError(f"{path}: found {found} of {wanted} patterns; allowed: a whole file")
    if len(signal.shape) != 4:
        raise InputError(
            f"{path}: found {describe_shape(signal.shape)} without the shape of the scan; "
            "allowed: the .hdr file beside it, or rows and columns of the scan by name"
        )


def largest_count(signal: Signal) -> float | None:
    """Count at which a pixel is saturated, which is not that of the type it is stored in; None where it is unknown."""
    counter = walk(signal.original, "mib_properties.dynamic_range")
    return {"12-bit": 2**12 - 1.0, "24-bit": 2**24 - 1.0}.get(str(counter))
