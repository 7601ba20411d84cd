"""Which segment is which, the turn of the scan and the thickness, found with the weights in resources/models."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.multislice.settings import Numerics
from iphasenet.reconstruction.orientation_candidates import arrangements, orientation_of
from iphasenet.reconstruction.orientation_check import check_orientation
from iphasenet.reconstruction.preparation import OPTIONS, Order, idpc_potential, mirrored, prepare
from iphasenet.reconstruction.reconstruct import Trained, load_trained
from iphasenet.reconstruction.thickness_scan import scan_thickness
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record
from iphasenet.simulation.specimen import Simulator, Specimen
from tests.physics.conftest import cell_of

TURN, THICKNESS, TILT, ROTATION = 30.0, 20.0, (0.25, -0.15), 77.0

IN_PLACE: Order = (2, 3, 1, 0)
"""Sectors of a detector turned by less than a quarter, counted from +x towards +y, that lie where our segments do."""


@pytest.fixture(scope="module")
def trained() -> Trained:
    return load_trained()


@pytest.fixture(scope="module")
def recorded() -> SegmentedImage:
    """MoS2 at 1e5 e/Å², recorded with a detector that is turned in the image by 30°."""
    specimen = Specimen(
        cell_of("MoS2"), thickness_nm=(THICKNESS,), tilt_deg=TILT, rotation_deg=ROTATION, offset=(0.2, 0.7)
    )
    microscope = Microscope(200, 20, 10, 50, detector_rotation_deg=TURN)
    data = Simulator(microscope, Numerics(0.12, 0.3, 16), Image(192, 0.2)).simulate(specimen)
    noise = Acquisition(readout_electrons=0.3, gain_mismatch=0.01)
    segments = record(torch.from_numpy(data["segments"].values[0]), 1e5, 0.2, noise, np.random.default_rng(0)).numpy()
    return SegmentedImage(
        segments,
        "simulated",
        order=IN_PLACE,
        sampling=0.2,
        energy_kev=200.0,
        semiangle_mrad=20.0,
        detector_inner_mrad=10.0,
        detector_outer_mrad=50.0,
        dose=1e5,
        beam_intensity=1.0,
        scan_rotation_deg=TURN,
        thickness_nm=THICKNESS,
        tilt_deg=TILT,
        rotation_deg=ROTATION,
    )


def test_what_is_right_is_kept(recorded: SegmentedImage, trained: Trained) -> None:
    found = check_orientation(recorded, trained)
    assert found.is_kept and found.warning is None and found.given.agreement > 0.8
    assert found.given.curl < 0.5 and found.given.brightness > 0
    assert len(found.table()) >= 8


def test_a_wrong_tilt_explains_nothing(recorded: SegmentedImage, trained: Trained) -> None:
    found = check_orientation(replace(recorded, tilt_deg=(-0.9, 0.9)), trained)
    assert found.warning is not None and "no order" in found.warning and "try" not in found.warning


@pytest.mark.parametrize("number", range(1, 8))
def test_turned_and_mirrored_segments_are_found(number: int, recorded: SegmentedImage, trained: Trained) -> None:
    wrong = replace(recorded, order=arrangements(IN_PLACE)[number])
    found = check_orientation(wrong, trained)
    assert (found.best.order, found.best.scan_rotation_deg) == (IN_PLACE, TURN)
    assert found.warning is not None and "--segment-order 3 4 2 1 --scan-rotation 30.0" in found.warning


@pytest.mark.parametrize("order", [mirrored(IN_PLACE), (0, 2, 3, 1)])
def test_a_turn_of_the_scan_is_found_whatever_the_order(
    order: Order, recorded: SegmentedImage, trained: Trained
) -> None:
    """To 6°, of a mirrored order and one that tears neighbours apart."""
    found = check_orientation(replace(recorded, order=order, scan_rotation_deg=None), trained, thorough=True)
    assert not found.is_kept
    mirror, turn = orientation_of(found.best, IN_PLACE)
    assert not mirror and turn == pytest.approx(TURN, abs=6)
    corrected = check_orientation(found.best.applied(recorded), trained)
    assert corrected.is_kept


def test_the_thicknesses_that_explain_the_images_hold_the_true_one(recorded: SegmentedImage, trained: Trained) -> None:
    table = scan_thickness(replace(recorded, thickness_nm=None), trained, [10.0, 20.0, 35.0, 50.0])
    alike = table["thickness_nm"][table["alike"]].tolist()
    assert THICKNESS in alike and len(alike) < len(table)
    assert table["thickness_nm"][table["agreement"].idxmax()] == THICKNESS
    assert table["trained"].tolist() == [False, True, True, True]
    assert not table["phase_object_means"].any()
    assert table["agreement"].iloc[-1] < table["agreement"].iloc[1] - 0.2


def test_the_idpc_of_a_thin_object_is_its_potential() -> None:
    """6 Å of MoS2: the slope against the potential as the probe sees it, within 20 %: four segments with a hole in the
    middle are only nearly a detector of the centre of mass."""
    microscope = Microscope(200, 20, 10, 50)
    simulator = Simulator(microscope, Numerics(0.12, 0.3, 16), Image(128, 0.2))
    data = simulator.simulate(Specimen(cell_of("MoS2"), thickness_nm=(0.6,)))
    known = dict.fromkeys(OPTIONS, 1.0) | {
        "energy_kev": 200.0,
        "semiangle_mrad": 20.0,
        "detector_inner_mrad": 10.0,
        "detector_outer_mrad": 50.0,
        "sampling": 0.2,
        "order": (0, 1, 2, 3),
        "tilt_deg": (0.0, 0.0),
    }
    prepared = prepare(SegmentedImage(data["segments"].values[0], "thin", **known), 0.2)
    image, calibrated = idpc_potential(prepared)
    # The transfer function of a round aperture: the overlap of two discs a distance k apart.
    k = np.hypot(np.fft.fftfreq(128, 0.2)[:, None], np.fft.fftfreq(128, 0.2))
    distance = np.clip(k / (2 * microscope.frequency(20)), 0, 1)
    overlap = 2 / np.pi * (np.arccos(distance) - distance * np.sqrt(1 - distance**2))
    seen = np.fft.ifft2(np.fft.fft2(data["potential"].values[0]) * overlap).real
    inside = (slice(20, -20), slice(20, -20))
    slope = np.polyfit(seen[inside].ravel(), image[inside].ravel(), 1)[0]
    assert calibrated and slope == pytest.approx(1, abs=0.2)
