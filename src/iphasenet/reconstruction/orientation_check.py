"""Order of the segments, and rotation between scan and detector, tested by the images themselves.

There are two criteria. Electrons are attracted by nuclei: in a thin crystal the difference signals are the gradient of
a potential that is bright on columns, so they have no curl. And images simulated from the network's reconstruction
agree with the recorded ones only if the arrangement is right (`agreement`), also for thick crystals, unlike the first.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iphasenet.microscope.electron import wavelength
from iphasenet.microscope_files.resampling import resampled, turned_frame
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.reconstruction.agreement import explain, has_room
from iphasenet.reconstruction.difference_signals import Spectra
from iphasenet.reconstruction.orientation_candidates import Candidate, OrientationCheck, orientation_of
from iphasenet.reconstruction.preparation import (
    Order,
    aligned,
    arrangements,
    check_known,
    microscope_of,
    mirrored,
    quarter_turned,
    turned_angles,
)
from iphasenet.reconstruction.reconstruct import Trained

STEP = 15.0
"""Steps of the rotation between scan and detector in the thorough search [degrees]."""

_FIRST, _THEN = (0.0, -2 * STEP, 2 * STEP), (-STEP, STEP, 3 * STEP)
"""Rotations at which all orders are tried, and those added for the best order and its turned and mirrored ones."""

MARGIN = 0.02
"""An arrangement is better than the given one if its agreement is higher by at least this."""

_ANGLE_MARGIN = 10.0
"""A rotation differs from the given one if the difference is larger than this [degrees]."""

_CURL = 0.6
"""Difference signals with a smaller share of curl count as a gradient."""

_SIDE = 184
"""Side of the field that is used [pixels]: 128 pixels fit into it at any rotation."""

FloatImages = NDArray[np.float32]
Progress = Callable[[int, int], object]


def check_orientation(
    image: SegmentedImage, trained: Trained, thorough: bool = False, progress: Progress | None = None
) -> OrientationCheck:
    """
    Look for an arrangement of segments and scan that explains the images better than the given one.

    Parameters
    ----------
    image : SegmentedImage
        Image with all calibrations; without an order, that of the images in the file counts as given.
    trained : Trained
        Network.
    thorough : bool
        Try all 24 orders instead of the 8 in which neighbours stay neighbours, and rotations in steps of `STEP`.
    progress : callable, optional
        Called with the numbers of arrangements tried and in all.

    Returns
    -------
    OrientationCheck
        Result. The images cannot tell a detector seen from behind from a mirrored scan; the proposal always keeps the
        image and mirrors the detector.
    """
    image = replace(image, order=image.order or (0, 1, 2, 3), scan_rotation_deg=image.scan_rotation_deg or 0.0)
    check_known(image)
    judge = _Judge(image, trained, progress, 24 * len(_FIRST) + 8 * len(_THEN) if thorough else 8)
    straight, rest = aligned(image)
    assert straight.order is not None
    if thorough:
        tried = judge.ring(straight.order, rest, _FIRST, adjacent=False)
        given = tried[0]
        leader = max(tried, key=_merit)
        tried += judge.ring(leader.order, rest, _THEN)
        if math.isnan(leader.agreement):
            tried += judge.without_curl(tried)
            best = max(tried, key=_merit)
        else:
            best = judge.refined(given, [one for one in tried if one.order in arrangements(leader.order)])
    else:
        tried = judge.ring(straight.order, rest)
        given = tried[0]
        tried += judge.without_curl(tried)
        best = max(tried, key=_merit)
    if _is_as_good(given, best):
        best = given
    rows = [*tried, *([] if any(best is one for one in tried) else [best])]
    return OrientationCheck(given, best, tuple(sorted(rows, key=_merit, reverse=True)))


def _merit(one: Candidate) -> tuple[float, float]:
    """Agreement; if there is none, small curl with bright columns counts."""
    return (-2.0 if math.isnan(one.agreement) else one.agreement), math.copysign(1 / (one.curl + 1e-9), one.brightness)


def _is_as_good(given: Candidate, best: Candidate) -> bool:
    if math.isnan(best.agreement):
        return not (best.curl < _CURL and (best.curl < 0.8 * given.curl or given.brightness < 0 < best.brightness))
    return not math.isnan(given.agreement) and given.agreement > best.agreement - MARGIN


class _Judge:
    """Judges arrangements of one image."""

    def __init__(self, image: SegmentedImage, trained: Trained, progress: Progress | None, every: int) -> None:
        self.image, self.trained = image, trained
        self.progress, self.done, self.every = progress, 0, every
        own, wanted = image.sampling or 0.0, trained.potential_network.sampling
        # A turned image needs its corners; nothing else is needed, except a margin for errors of resampling.
        part = _cut(replace(image, order=(0, 1, 2, 3)).fractions, math.ceil((_SIDE + 24) * wanted / own))
        self.segments = _cut(resampled(part, own, wanted), _SIDE)

    def candidate(self, order: Order, turn: float) -> Candidate:
        """Judge one arrangement."""
        turn = (turn + 180) % 360 - 180
        agreement = self._agreement(order, turn)
        curl, brightness = self.spectra(order).turned(turn)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.every)
        return Candidate(order, turn, agreement, curl, brightness)

    def _agreement(self, order: Order, turn: float) -> float:
        image, segments = self.image, self.segments[list(order)]
        if turn:
            segments = turned_frame(segments, turn)
        if not has_room((segments.shape[1], segments.shape[2])):
            return math.nan
        angles = turned_angles(image.tilt_deg or (0.0, 0.0), image.rotation_deg or 0.0, turn)
        metadata = np.array([image.thickness_nm, *angles], np.float32)
        return explain(self.trained.potential_network, microscope_of(image), segments, metadata).agreement

    def spectra(self, order: Order) -> Spectra:
        """Difference signals of an order within the probe's band."""
        band = 4e-3 * (self.image.semiangle_mrad or 0) / 2 / wavelength(self.image.energy_kev or 0)
        return Spectra.of(self.segments[list(order)], self.trained.potential_network.sampling, band)

    def ring(
        self, order: Order, rest: float, turns: Sequence[float] = (0.0,), adjacent: bool = True
    ) -> list[Candidate]:
        """Judge the arrangements of an order at several rotations; the given one comes first."""
        return [self.candidate(one, rest + turn) for one in arrangements(order, adjacent) for turn in turns]

    def without_curl(self, tried: Sequence[Candidate]) -> list[Candidate]:
        """Judge the rotations of smallest curl, for the given order and its mirror image, unless they were tried."""
        found = []
        for order in (tried[0].order, mirrored(tried[0].order)):
            turn = self.spectra(order).best_turn()
            near = min(abs(_difference(turn - tried[0].scan_rotation_deg, 90 * turns)) for turns in range(4))
            if self.spectra(order).turned(turn)[0] < _CURL and near > _ANGLE_MARGIN:
                turns = round(turn / 90)
                found.append(self.candidate(quarter_turned(order, turns), turn - 90 * turns))
        return found

    def refined(self, given: Candidate, ring: list[Candidate]) -> Candidate:
        """Best rotation of a ring of arrangements, interpolated between those that were tried."""
        reference = given.order if given.order in arrangements(ring[0].order) else ring[0].order
        places = [orientation_of(one, reference) for one in ring]
        scores = [(mirror, turn, one.agreement) for one, (mirror, turn) in zip(ring, places, strict=True)]
        peaks = [_peak([score[1:] for score in scores if score[0] is side]) for side in (False, True)]
        side = peaks[1][1] > peaks[0][1]
        turn = peaks[side][0]
        start = mirrored(reference) if side else reference
        spectra = self.spectra(start)
        exact = spectra.best_turn()
        if spectra.turned(exact)[0] < _CURL and abs(_difference(exact, turn)) < 2 * STEP:
            turn = exact
        given_place = orientation_of(given, reference) if given.order in arrangements(reference) else (not side, 0.0)
        if given_place[0] == side and abs(_difference(given_place[1], turn)) < _ANGLE_MARGIN:
            return given
        turns = round((turn - given.scan_rotation_deg) / 90)
        rest = turn - 90 * turns
        if abs(_difference(rest, given.scan_rotation_deg)) < _ANGLE_MARGIN:
            # Differences that the images cannot resolve: a quarter turn is likelier than any other angle.
            rest = given.scan_rotation_deg
        placed = quarter_turned(start, turns)
        same = [one for one in ring if one.order == placed and abs(_difference(one.scan_rotation_deg, rest)) < 1e-6]
        return same[0] if same else self.candidate(placed, rest)


def _difference(one: float, other: float) -> float:
    """Difference of two angles, -180 to 180 degrees."""
    return (one - other + 180) % 360 - 180


def _peak(scores: list[tuple[float, float]]) -> tuple[float, float]:
    """Rotation [degrees] and height of the smoothed maximum of agreements at equal steps around the circle."""
    turns, heights = np.array(sorted(scores)).T
    heights = np.nan_to_num(heights, nan=-1.0)
    smooth = (np.roll(heights, 1) + 2 * heights + np.roll(heights, -1)) / 4
    top = int(np.argmax(smooth))
    before, here, after = smooth[top - 1], smooth[top], smooth[(top + 1) % len(smooth)]
    curvature = before + after - 2 * here
    shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    return float(turns[top] + shift * 360 / len(turns)), float(here)


def _cut(images: FloatImages, side: int) -> FloatImages:
    """Middle of images, at most `side` pixels along each side."""
    top, left = (max(0, size - side) // 2 for size in images.shape[1:])
    return images[:, top : top + side, left : left + side]
