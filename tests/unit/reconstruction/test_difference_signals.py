"""Arrangements of four segments, and the curl of their difference signals."""

import numpy as np
import pytest

from iphasenet.reconstruction.difference_signals import Spectra
from iphasenet.reconstruction.orientation_candidates import Candidate, arrangements, orientation_of
from iphasenet.reconstruction.preparation import Order, mirrored
from tests.unit.microscope_files.segmented_images import fractions

START: Order = (2, 0, 3, 1)


def neighbours(order: Order) -> set[frozenset[int]]:
    top_left, top_right, bottom_left, bottom_right = order
    pairs = ((top_left, top_right), (bottom_left, bottom_right), (top_left, bottom_left), (top_right, bottom_right))
    return {frozenset(pair) for pair in pairs}


def test_eight_arrangements_leave_neighbours_neighbours_and_sixteen_do_not() -> None:
    eight, every = arrangements(START), arrangements(START, adjacent=False)
    assert eight[0] == START and len(set(eight)) == 8 and len(set(every)) == 24
    assert [neighbours(order) == neighbours(START) for order in every] == [True] * 8 + [False] * 16


@pytest.mark.parametrize("number", range(8))
def test_an_arrangement_is_a_mirror_and_a_turn(number: int) -> None:
    candidate = Candidate(arrangements(START)[number], -20.0, 0.5, 1.0, 0.0)
    assert orientation_of(candidate, START) == (number >= 4, (90 * (number % 4) - 20) % 360)


def test_a_candidates_options_say_what_it_applies() -> None:
    candidate = Candidate((1, 3, 0, 2), 12.0, 0.5, 1.0, 0.0)
    assert candidate.options == "--segment-order 2 4 1 3 --scan-rotation 12.0"
    applied = candidate.applied(fractions())
    assert (applied.order, applied.scan_rotation_deg) == ((1, 3, 0, 2), 12.0)


def deflected(turn_deg: float) -> np.ndarray:
    """Segments of a lattice of bright columns that draw the beam, on a detector turned in the image."""
    position = (np.arange(128) - 63.5) * 0.2
    x, y = np.meshgrid(position, position)
    waves = [(0.3, 0.05), (0.1, 0.28), (-0.2, 0.23), (0.4, 0.33)]
    phases = [2 * np.pi * (kx * x + ky * y) for kx, ky in waves]
    along_x, along_y = (
        -sum(wave[axis] * np.sin(phase) for wave, phase in zip(waves, phases, strict=True)) for axis in (0, 1)
    )
    cosine, sine = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    # The detector sees a direction at its own angle, less by the turn than that in the image.
    right, down = cosine * along_x + sine * along_y, cosine * along_y - sine * along_x
    return np.stack([0.1 + 0.01 * (a * right + b * down) for b in (-1, 1) for a in (-1, 1)])


@pytest.mark.parametrize("turn", [0.0, 35.0, -100.0, 170.0])
def test_the_turn_without_curl_is_that_of_the_detector(turn: float) -> None:
    spectra = Spectra.of(deflected(turn), 0.2, 1.0)
    assert (spectra.best_turn() - turn + 180) % 360 - 180 == pytest.approx(0, abs=2)
    curl, brightness = spectra.turned(turn)
    assert curl < 0.15 and brightness > 0.3
    assert spectra.turned(turn + 90)[0] > 3
    # Half a turn leaves the curl and makes columns dark.
    assert spectra.turned(turn + 180) == pytest.approx((curl, -brightness))


def test_a_mirrored_detector_has_curl_at_any_turn() -> None:
    spectra = Spectra.of(deflected(0.0)[list(mirrored((0, 1, 2, 3)))], 0.2, 1.0)
    assert spectra.turned(spectra.best_turn())[0] > 0.5


def test_noise_beyond_the_probes_band_does_not_count() -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal((4, 128, 128))
    narrow, wide = (Spectra.of(deflected(0.0) + noise, 0.2, band).turned(0.0)[0] for band in (0.8, 2.5))
    assert narrow < 0.6 * wide
