"""The command line of one simulation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

from iphasenet import __version__
from iphasenet.base.errors import InputWarning
from iphasenet.cli import COMMANDS, main
from iphasenet.microscope_files.store_facts import store_facts
from iphasenet.simulation.tilts import crystal_lean, lab_tilt

STRUCTURES = Path(__file__).parents[3] / "resources" / "structures"
SMALL = ["--pixels", "32", "--sampling", "0.3", "--window", "6", "--multislice-sampling", "0.15"]


def run(folder: Path, *arguments: str, cif: Path = STRUCTURES / "GaN.cif") -> xarray.Dataset:
    main(["simulate", str(cif), "--output", str(folder / "out.zarr"), *SMALL, *arguments])
    return xarray.open_zarr(folder / "out.zarr")


def test_a_simulation_has_dimensions_coordinates_and_units(tmp_path: Path) -> None:
    data = run(tmp_path, "--thickness", "1", "2", "--tilt", "0.3", "-0.1", "--preview", str(tmp_path / "p.png"))
    assert dict(data.sizes) == {"thickness": 2, "segment": 4, "y": 32, "x": 32}
    assert data["potential"].attrs["units"] == "V Å"
    np.testing.assert_allclose(data["thickness"], [1, 2], atol=0.1)
    mean = data["potential"].mean(("y", "x")) / (10 * data["thickness"])
    # The field is no whole number of cells: the mean over it is near the crystal's 19.5 V, not equal to it.
    np.testing.assert_allclose(mean, 19.5, rtol=0.1)
    assert 0 < float(data["segments"].sum("segment").max()) < 1
    assert data.attrs["tilt"] == [0.3, -0.1]
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_the_strain_and_the_block_that_were_used_are_recorded(tmp_path: Path) -> None:
    text = (STRUCTURES / "KNbO3.cif").read_text()
    skew = text[text.index("data_KNbO3") :].replace("_cell_angle_beta 90", "_cell_angle_beta 90.05")
    cif = tmp_path / "two.cif"
    cif.write_text(text + skew.replace("data_KNbO3", "data_skew"))
    with pytest.raises(SystemExit, match="found 2 structures, KNbO3, skew; --block"):
        run(tmp_path, "--thickness", "1", cif=cif)
    with pytest.raises(SystemExit, match=r"allow 0\.088 % \(--max-strain"):
        run(tmp_path, "--thickness", "1", "--block", "skew", "--max-strain", "0.01", cif=cif)
    with pytest.warns(InputWarning, match=r"made orthogonal by a strain of 0\.087 %"):
        data = run(tmp_path, "--thickness", "1", "--block", "skew", cif=cif)
    assert (data.attrs["block"], "max_strain" in data.attrs) == ("skew", False)
    assert data.attrs["strain_percent"] == pytest.approx(100 * np.radians(0.05))
    assert run(tmp_path / "plain", "--thickness", "1", "--block", "knbo3", cif=cif).attrs["strain_percent"] == 0


def test_thicknesses_do_not_depend_on_each_other(tmp_path: Path) -> None:
    both = run(tmp_path / "both", "--thickness", "1", "2")
    alone = run(tmp_path / "alone", "--thickness", "2")
    np.testing.assert_allclose(both["segments"][1], alone["segments"][0], atol=1e-6)


def test_a_temperature_makes_the_atoms_move(tmp_path: Path) -> None:
    """The noise left is written, with what was asked for; more displacement than the CIF's damps the truth more."""
    cold = run(tmp_path / "cold", "--thickness", "2")
    warm = run(tmp_path / "warm", "--thickness", "1", "2", "--temperature", "293", "--thermal-noise", "0.2")
    assert "thermal_noise" not in cold
    assert warm["thermal_noise"].dims == ("thickness",)
    assert "as a share of their contrast" in warm["thermal_noise"].attrs["description"]
    assert (warm["thermal_noise"] > 0).all() and (warm["thermal_noise"] <= 0.2).all()
    assert warm["potential"].attrs["description"].endswith("averaged over thermal motion")
    assert (warm.attrs["temperature"], warm.attrs["thermal_passes"], cold.attrs["temperature"]) == (293, 4, 0)
    assert warm.attrs["thermal_coarse_passes"] == 8
    facts = [store_facts(next((tmp_path / name).rglob("*.zarr"))) for name in ("cold", "warm")]
    assert "temperature_k" not in facts[0] and facts[1]["temperature_k"] == 293
    np.testing.assert_allclose(facts[1]["thermal_noise"], warm["thermal_noise"], atol=1e-4)
    asked = [
        "--temperature",
        "293",
        "--rms-displacement",
        "Ga=0.15",
        "--thermal-passes",
        "1",
        "--thermal-noise",
        "1e-4",
    ]
    with pytest.warns(
        InputWarning, match=r"thermal noise: found .* % of the contrast at 2.* nm, asked for 0.01 %; more passes"
    ):
        more = run(tmp_path / "more", "--thickness", "2", *asked)
    assert more.attrs["rms_displacement"] == ["Ga=0.15"]
    tops = [float(data["potential"][-1].max()) for data in (more, warm, cold)]
    assert tops[0] < 0.9 * tops[1] and tops[1] < 0.95 * tops[2]
    rest = run(tmp_path / "rest", "--thickness", "2", "--temperature", "293", "--thermal-noise", "1", "--truth", "rest")
    np.testing.assert_array_equal(rest["potential"], cold["potential"])
    assert rest["potential"].attrs["description"].endswith("of atoms at rest")


def test_half_a_turn_turns_image_and_segments(tmp_path: Path) -> None:
    """Rotating the crystal by 180° and the tilt with it reverses the image and exchanges opposite segments."""
    first = run(tmp_path / "0", "--thickness", "1", "--tilt", "0.4", "-0.2")
    turned = run(tmp_path / "180", "--thickness", "1", "--tilt", "-0.4", "0.2", "--rotation", "180")
    np.testing.assert_allclose(turned["segments"].values[:, ::-1, ::-1, ::-1], first["segments"], atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 130.0])
def test_tilt_and_lean_are_inverse(gamma: float) -> None:
    assert lab_tilt(crystal_lean(0.7, -1.1, gamma), gamma) == pytest.approx((0.7, -1.1))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--thickness", "2", "1"], ["thickness", "rising"]),
        (["--thickness", "0.05"], ["0.05 nm", "one slice"]),
        (["--thickness", "nan"], ["nan", "allowed: "]),
        (["--thickness", "2", "--tilt", "nan", "0"], ["nan", "allowed: "]),
        (["--thickness", "2", "--segments", "20"], ["20", "1 to 16"]),
        (["--thickness", "2", "--aberrations", "spherical=3"], ["'spherical'", "Cs", "C30"]),
        (["--thickness", "2", "--aberrations", "astigmatism_angle=30"], ["phi12 without C12"]),
        (["--thickness", "2", "--aberrations", "Cs=1", "Cs=2"], ["--aberrations", "once"]),
        (["--thickness", "2", "--dark-field", "60", "90"], ["90", "sampling_angstrom of at most"]),
        (["--thickness", "2", "--tilt", "30", "0", "--memory", "5"], ["MB", "memory_mb 5"]),
        (["--thickness", "2", "--frozen-phonons", "3"], ["--frozen-phonons", "no --temperature", "above 0 K"]),
        (["--thickness", "2", "--thermal-noise", "0.01"], ["--thermal-noise", "no --temperature"]),
        (["--thickness", "2", "--thermal-passes", "2"], ["--thermal-passes", "no --temperature"]),
        (["--thickness", "2", "--truth", "rest"], ["--truth", "no --temperature"]),
        (
            ["--thickness", "2", "--temperature", "293", "--frozen-phonons", "3", "--thermal-passes", "2"],
            ["--thermal-passes", "--frozen-phonons 3", "one of the two"],
        ),
        (["--thickness", "2", "--detector", "10", "70"], ["70", "sampling_angstrom of at most"]),
        (["--thickness", "2", "--rms-displacement", "Ga=0.1"], ["--rms-displacement", "no --temperature", "above 0 K"]),
        (["--thickness", "2", "--temperature", "293", "--rms-displacement", "Xe=0.1"], ["'Xe'", "Ga, N"]),
        (["--thickness", "2", "--temperature", "293", "--rms-displacement", "Ga=0.6"], ["of Ga", "0.6", "0 to 0.5 Å"]),
        (["--thickness", "2", "--temperature", "293", "--rms-displacement", "Ga=0.1", "Ga=0.2"], ["Ga, Ga", "once"]),
        (["--thickness", "2", "--temperature", "-1"], ["--temperature", "'-1'", "0, or 1 to 2,000 K"]),
        (["--thickness", "2", "--temperature", "nan"], ["'nan'", "0, or 1 to 2,000 K"]),
        (["--thickness", "2", "--thermal-noise", "0"], ["--thermal-noise", "0.0001 to 1"]),
        (["--thickness", "2", "--thermal-passes", "0"], ["--thermal-passes", "a whole number, 1 to 1,000"]),
        (["--thickness", "2", "--zone-axis", "1", "1", "1"], ["cannot be made orthogonal"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, *arguments)
    message = str(caught.value.code)
    assert message.startswith("iphasenet: ") and "\n" not in message
    for part in parts:
        assert part in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [["a.emd", "--rotation", "0.3", "-0.1", "12.5"], ["--rotat", "0.3", "-0.1", "12.5", "a.emd"]]
)
def test_three_angles_behind_rotation_are_told_the_new_way(arguments: list[str]) -> None:
    """In the user's own numbers, before any file is looked for; argparse would take two of them for files."""
    with pytest.raises(SystemExit) as caught:
        main(["reconstruct", *arguments, "--output", "a.npz"])
    assert caught.value.code == "iphasenet: --rotation takes gamma alone: write --tilt 0.3 -0.1 --rotation 12.5"


def test_help_names_units(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["iphasenet", "simulate", "--help"])
    with pytest.raises(SystemExit):
        main()
    text = capsys.readouterr().out
    for unit in ("[nm]", "[degrees", "[mrad]", "[keV]", "[Å]"):
        assert unit in text


@pytest.mark.parametrize(
    "command", [["simulate", "GaN.cif", "--thickness", "1"], ["render", "--dataset", "d.zarr", "--sample", "a"]]
)
def test_a_store_is_not_made_under_another_ending(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--output .*x\.png: found the ending '\.png'; allowed: \.zarr"):
        main([*command, "--output", str(tmp_path / "x.png")])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("thicknesses", "told"), [(["1"], "1 thickness, 32"), (["1", "2"], "2 thicknesses, 32")])
def test_what_was_made_is_counted(
    thicknesses: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "--thickness", *thicknesses).close()
    assert f"out.zarr: {told} x 32 px" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), ["simulate"]]
)
def test_what_needs_no_library_loads_none(arguments: list[str]) -> None:
    """Help, and what is missing of a command line, come at once."""
    code = (
        "import sys\nfrom iphasenet.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit as end:\n    print(end, file=sys.stderr)\n"
        "print(*sorted({'numpy', 'torch', 'ase', 'zarr', 'fsspec', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    end, loaded = found.stderr.splitlines()[-2:]
    assert loaded == ""
    if "--help" in arguments:
        assert end == "0" and found.stdout.startswith(" ".join(["usage: iphasenet", *arguments[:-1]]))
    elif arguments == ["--version"]:
        assert end == "0" and found.stdout == f"iphasenet {__version__}\n"
    else:
        assert end.startswith("iphasenet: the following arguments are required: CIF, --output, --thickness")
