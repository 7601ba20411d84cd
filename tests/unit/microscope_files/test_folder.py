"""A folder of images for the workflow: what is found, and the options that settings become."""

import argparse
from pathlib import Path

import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.settings import described
from iphasenet.commands.options import reconstruct
from iphasenet.microscope_files.folder import (
    check_own_settings,
    command_options,
    find_images,
    is_pattern,
    settings_of,
)
from iphasenet.planning.image_settings import ImageSettings


def test_images_are_found_by_name_and_other_files_left_alone(tmp_path: Path) -> None:
    for name in ("b.emd", "a.TIF", "notes.txt", "scan.hdr", ".hidden.tif"):
        (tmp_path / name).touch()
    (tmp_path / "c.zspy").mkdir()
    assert list(find_images(tmp_path).items()) == [
        (name[0], str(tmp_path / name)) for name in ("a.TIF", "b.emd", "c.zspy")
    ]


def test_folders_that_will_not_do_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.*no folder"):
        find_images(tmp_path / "none")
    with pytest.raises(InputError, match=r"no image.*\.emd"):
        find_images(tmp_path)


def test_names_of_outputs_differ_and_hold_nothing_that_snakemake_fills_in(tmp_path: Path) -> None:
    """Whatever the files are called; what is not needed is not changed."""
    for name in ("a.emd", "a.tif", "a.tif.npy", "b c.npz", "b{c}.npz", "%7B.npz", "50%.npz", "x" * 251 + ".npz"):
        (tmp_path / name).touch()
    images = find_images(tmp_path)
    assert {"a.emd", "a.tif", "a.tif.npy", "b c", "b%7Bc%7D", "%257B", "50%"} < set(images)
    assert len(images) == 8 and images["b%7Bc%7D"] == str(tmp_path / "b{c}.npz")
    assert max(map(len, images)) == 200


def test_paths_that_snakemake_fills_in_are_told_from_others() -> None:
    assert all(map(is_pattern, ("a{b}/c.npz", "in/<run>.npz", "in/\udcff.npz")))
    assert not any(map(is_pattern, ("my lab/a.npz", "in/a<b.npz", "in/50%,1.npz")))


def test_an_images_own_settings_come_first() -> None:
    section = {"settings": {"thickness_nm": 40, "flip": True}, "own": {"b": {"thickness_nm": 60}}}
    assert settings_of("in/a.emd", section) == {"thickness_nm": 40, "flip": True}
    assert settings_of("in/b.emd", section) == {"thickness_nm": 60, "flip": True}
    check_own_settings(section, {"a": "in/a.emd", "b": "in/b.emd"})
    with pytest.raises(InputError, match=r"own: found 'b'; allowed: .*a"):
        check_own_settings(section, {"a": "in/a.emd"})
    section["own"]["b.tif"] = {"flip": False}
    assert settings_of("in/b.tif", section) == {"thickness_nm": 60, "flip": False}
    check_own_settings(section, {"b.emd": "in/b.emd", "b.tif": "in/b.tif"})


def test_the_command_understands_every_setting() -> None:
    """A small negative angle as well, which has an exponent in Python."""
    settings = {
        "thickness_nm": 40,
        "tilt_deg": [-1e-5, 0.25],
        "rotation_deg": -12,
        "sampling_angstrom": 0.15,
        "energy_kev": 200,
        "semiangle_mrad": 20.0,
        "detector_mrad": [10, 50],
        "beam_intensity": "auto",
        "dark_intensity": -3.5,
        "dose": 1e5,
        "segment_order": [4, "DF4-B", 2, 1],
        "flip": True,
        "scan_rotation_deg": -7.5,
        "sample": "GaN-1",
        "frame": 2,
        "detector_name": "DF4",
        "resample": True,
        "scan_shape": [64, 32],
        "camera_pixel_mrad": 0.5,
        "camera_centre": [63.5, 64.0],
        "camera_rotation_deg": -90,
        "turns": 1,
        "tilt_error_deg": 0.05,
        "thickness_error_percent": 2,
        "columns": True,
        "structure": "GaN.cif",
        "zone_axis": [1, 0, -1],
        "start": "gan.safetensors",
    }
    assert settings.keys() == {one.name for one in described(ImageSettings)}
    parser = argparse.ArgumentParser()
    reconstruct.add_command(parser.add_subparsers())
    found = parser.parse_args(["reconstruct", "in.emd", *command_options(settings)])
    assert found.tilt == [-1e-5, 0.25] and found.rotation == -12 and found.thickness == "40" and found.dose == 1e5
    assert found.structure == "GaN.cif" and found.zone_axis == [1, 0, -1] and found.start == "gan.safetensors"
    assert found.resample and found.detector_name == "DF4"
    assert found.flip and found.segment_order == ["4", "DF4-B", "2", "1"] and found.scan_shape == [64, 32]
    assert found.camera_centre == [63.5, 64.0] and found.camera_rotation == -90 and found.dark_intensity == -3.5
    assert not parser.parse_args(["reconstruct", "in.emd", *command_options({"flip": False})]).flip
