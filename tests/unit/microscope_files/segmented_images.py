"""A segmented image in which no two pixels and segments are alike, for the tests of readers and writers."""

from dataclasses import replace
from typing import Any

import numpy as np

from iphasenet.microscope_files.segmented_image import SegmentedImage

SHAPE = (24, 32)


def fractions(**known: Any) -> SegmentedImage:
    """Fractions of the beam current with all that can be known, the segments in an order of their own."""
    values = np.random.default_rng(0).uniform(0.01, 0.2, (4, *SHAPE)).astype(np.float32)
    image = SegmentedImage(
        segments=values,
        source="made",
        names=("a", "b", "c", "d"),
        order=(2, 0, 3, 1),
        sampling=0.15,
        energy_kev=200.0,
        semiangle_mrad=20.0,
        detector_inner_mrad=10.0,
        detector_outer_mrad=50.0,
        dose=1e5,
        beam_intensity=1.0,
        scan_rotation_deg=7.0,
        thickness_nm=20.0,
        tilt_deg=(0.1, -0.2),
        rotation_deg=30.0,
    )
    return replace(image, **known)


def counts() -> SegmentedImage:
    """The same as whole counts, of a beam of 50 000 and a dark level of 1000."""
    image = fractions()
    return replace(
        image, segments=np.rint(1000 + 49000 * image.segments), beam_intensity=50000.0, dark_intensity=1000.0
    )
