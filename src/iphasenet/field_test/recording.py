"""Recording of a field test's images: what the detector and the scan add, and what a microscope writes down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iphasenet.field_test.plan import FieldImage, FieldSpecimen
from iphasenet.field_test.simulation import FieldTruth
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.planning.field_settings import FieldTest
from iphasenet.simulation.grid import generator
from iphasenet.simulation.noise import record


@dataclass(frozen=True)
class Recorder:
    """
    Scan and detector of a field test.

    Attributes
    ----------
    sampling : float
        Pixel [Å].
    acquisition : Acquisition
        Noise and distortions.
    dark_offset : float
        Standard deviation of the segments' zero, which nobody knows [fraction of the beam].
    saturation : float
        Largest share of its signal that the brightest pixel loses; a darker one loses in proportion.
    seed : int
        Seed of the run.
    """

    sampling: float
    acquisition: Acquisition
    dark_offset: float
    saturation: float
    seed: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Recorder":
        """Read a configuration."""
        test = FieldTest(**config["field_test"])
        acquisition = Acquisition(**config["noise"]["acquisition"])
        pixel = config["image"]["sampling_angstrom"]
        return cls(pixel, acquisition, test.dark_offset, test.saturation, config["seed"])

    def images(self, specimen: FieldSpecimen, truths: Sequence[FieldTruth]) -> list[SegmentedImage]:
        """Record all images of a specimen."""
        return [self.image(image, truth.segments) for image, truth in zip(specimen.images, truths, strict=True)]

    def image(self, image: FieldImage, clean: NDArray[np.floating[Any]]) -> SegmentedImage:
        """
        Record one image.

        Parameters
        ----------
        image : FieldImage
            Dose and optics.
        clean : (4, y, x) array
            Images without noise, fractions of the beam current.

        Returns
        -------
        SegmentedImage
            What a microscope writes down: nothing of the crystal, and no aberrations.
        """
        rng = generator(self.seed, image.name, "noise")
        tensor = torch.from_numpy(np.asarray(clean, np.float32))
        segments = record(tensor, image.dose, self.sampling, self.acquisition, rng).numpy()
        # Noise does not decide how much is lost.
        lost = float(rng.uniform(0.0, self.saturation)) / float(clean.max())
        zeros = rng.normal(0.0, self.dark_offset, 4)[:, None, None]
        microscope = image.microscope
        return SegmentedImage(
            (segments * (1 - lost * segments) + zeros).astype(np.float32),
            image.name,
            names=SEGMENTS,
            order=(0, 1, 2, 3),
            sampling=self.sampling,
            energy_kev=microscope.energy_kev,
            semiangle_mrad=microscope.semiangle_mrad,
            detector_inner_mrad=microscope.detector_inner_mrad,
            detector_outer_mrad=microscope.detector_outer_mrad,
            dose=image.dose,
            beam_intensity=1.0,
            scan_rotation_deg=0.0,
        )
