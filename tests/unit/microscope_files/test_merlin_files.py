"""A Merlin camera's files: counters, the shape of the scan, and what the messages say is there and missing."""

from pathlib import Path

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.image_files import read_image, read_recording
from tests.unit.microscope_files.test_virtual_segments import CAMERA, DETECTOR, SCAN, by_hand, patterns, write_merlin

FRAMES = SCAN[0] * SCAN[1]


def write_hdr(path: Path, **fields: str) -> None:
    named = {"frames": "Frames in Acquisition (Number)", "per_trigger": "Frames per Trigger (Number)"}
    lines = ["HDR,\t", *(f"{named[key]}:\t{value}" for key, value in fields.items()), "End\t "]
    path.with_suffix(".hdr").write_text("\n".join(lines))


def write_bytes(path: Path, peak: int, depth: str, in_header: bool = True) -> None:
    """Patterns of one byte a pixel, of a counter of 1 or 6 bits; the number of bits may stand in the .hdr alone."""
    rows, columns = CAMERA
    data = np.minimum(patterns(), peak).astype(np.uint8).reshape(-1, *CAMERA)[:, ::-1]
    with path.open("wb") as file:
        for number, frame in enumerate(data, 1):
            fields = ["MQ1", f"{number:06}", "00384", "01", f"{columns:04}", f"{rows:04}", "U08", "   1x1", "01"]
            told = ["MQ1A", "2024-01-01T10:00:00.000000001Z", "1000000ns", depth, ""]
            later = told if in_header else [*told[1:3], "?", ""]
            file.write(",".join(fields + later).encode().ljust(384, b"\0"))
            file.write(frame.tobytes())
    write_hdr(path, frames=str(FRAMES), per_trigger=str(SCAN[1]))
    with path.with_suffix(".hdr").open("a") as file:
        file.write(f"\nCounter Depth (number):\t{depth}\n")


@pytest.mark.parametrize("in_header", [True, False])
def test_a_full_counter_of_six_bits_is_saturated(in_header: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mib"
    peak = int(patterns().max())
    assert peak < 62
    write_bytes(path, 255, "6", in_header)
    np.testing.assert_array_equal(read_image(path, detector=DETECTOR).arranged, by_hand(patterns()))
    bright = path.read_bytes().replace(bytes([peak]), bytes([63]))
    path.write_bytes(bright)
    with pytest.raises(InputError, match=r"found [\d.]+ % of the camera's pixels saturated at 63; allowed: none"):
        read_image(path, detector=DETECTOR)


@pytest.mark.parametrize(("shape", "fitting"), [((6, 4), "6 x 5"), ((5, 5), "5 x 6 or 6 x 5"), ((3, 9), "3 x 10")])
def test_more_patterns_than_the_scan_are_refused_with_what_fits(
    shape: tuple[int, int], fitting: str, tmp_path: Path
) -> None:
    write_merlin(tmp_path / "a.mib", with_header=False)
    told = f"found 30 patterns and, by --scan-shape, a scan of {shape[0]} x {shape[1]}; allowed: all patterns"
    with pytest.raises(InputError, match=f"{told}, flyback included, such as {fitting}"):
        read_image(tmp_path / "a.mib", detector=DETECTOR, scan_shape=shape)
    with pytest.raises(
        InputError, match=r"found 30 of 35 patterns; allowed: a whole file, or a scan of 6 x 5 or 5 x 6"
    ):
        read_image(tmp_path / "a.mib", detector=DETECTOR, scan_shape=(7, 5))
    write_hdr(tmp_path / "a.mib", frames="20", per_trigger="5")
    with pytest.raises(InputError, match=r"found 30 patterns and, by the \.hdr beside it, a scan of 4 x 5"):
        read_image(tmp_path / "a.mib", detector=DETECTOR)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, r"there: Frames in Acquisition \(Number\): missing, Frames per Trigger \(Number\): missing"),
        ({"frames": "30"}, r"there: .*: 30, Frames per Trigger \(Number\): missing"),
        ({"frames": "30", "per_trigger": "x"}, r"Frames per Trigger \(Number\): x\)"),
        ({"frames": "30", "per_trigger": "1"}, r"patterns a row, the latter above 1 \(there: .*: 30, .*: 1\)"),
        ({"frames": "30", "per_trigger": "7"}, r"there: .*: 30, .*: 7"),
        (None, r"a \.hdr beside it \(there is none\) with Frames in Acquisition \(Number\) and Frames per Trigger"),
    ],
)
def test_a_hdr_without_the_scan_is_told_with_what_is_there(
    fields: dict[str, str] | None, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.mib"
    write_merlin(path, with_header=False)
    if fields is not None:
        write_hdr(path, **fields)
    missing = "30 patterns of 32 x 40 pixels without the shape of the scan"
    match = f"{missing}; allowed: .*{told}.*, or --scan-shape, such as 5 x 6"
    with pytest.raises(InputError, match=match):
        read_image(path, detector=DETECTOR)


def test_a_hdr_alone_names_its_mib(tmp_path: Path) -> None:
    write_hdr(tmp_path / "a.mib", frames="30")
    with pytest.raises(
        InputError, match=r"a\.hdr: found the description of a\.mib, which is not there; give the \.mib, with"
    ):
        read_image(tmp_path / "a.hdr")


def test_nothing_is_said_of_a_whole_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """RosettaSciIO warns where there is no .hdr, though the shape is given."""
    path = tmp_path / "A.MIB"
    write_merlin(path, with_header=False)
    recording = read_recording([path], scan_shape=SCAN)
    np.testing.assert_array_equal(np.asarray(recording.data), patterns())
    assert not caplog.records and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", [b"MQ1,0000", b"MQ1,000001,00384".ljust(500)])
def test_a_file_shorter_than_a_header_says_so(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mib").write_bytes(text)
    with pytest.raises(InputError, match=r"\((8 bytes, fewer than the 384 of|a header that begins with 'MQ1,)"):
        read_image(tmp_path / "a.mib")
