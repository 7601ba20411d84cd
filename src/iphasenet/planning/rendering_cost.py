"""Time of rendering a material's samples, estimated from a few of them."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.multislice.periodic_images import PeriodicImages
from iphasenet.planning.disk import image_orders
from iphasenet.planning.tilt_cost import timed
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, Sample
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import fixed_noise
from iphasenet.simulation.rendering import render_sample

_RENDERED = 4
"""Largest number of samples that are rendered for the estimate."""

_SHARE = 0.1
"""Share of the beam on each segment of the images for the estimate."""


def estimate_rendering(
    config: Mapping[str, Any], material: str, planned: Sequence[Sample], potential: CrystalPotential
) -> float:
    """
    Estimate the time of rendering a material's samples.

    Parameters
    ----------
    config : mapping
        Checked configuration.
    material : str
        Name of the material.
    planned : sequence of Sample
        Samples of the material.
    potential : CrystalPotential
        Potential of the crystal's cell whose projection is the truth.

    Returns
    -------
    float
        Time of one core [s] for rendering the samples of periodic images and drawing the noise of validation and test
        samples; compression and writing, about a tenth of it, are left out.
    """
    image, noise, seed = Image(**config["image"]), config["noise"], config["seed"]
    fixed = FixedNoise(noise["evaluation_doses"], Acquisition(**noise["acquisition"]))
    slicing = potential.slicing(config["simulation"]["multislice"]["slice_thickness_angstrom"])
    series = _flat_images(config, potential)
    periodic = [sample for sample in planned if sample.orientation.is_periodic]
    chosen = periodic[:: max(1, len(periodic) // _RENDERED)][:_RENDERED]
    works = [partial(render_sample, sample, series, potential, slicing, image) for sample in chosen]
    times = [timed(work, time.process_time, 1) for work in works]
    sample, flat = planned[0], np.full((len(SEGMENTS), image.pixels, image.pixels), _SHARE, np.float32)
    drawn = timed(lambda: fixed_noise(flat, sample, fixed, image, seed, material), time.process_time, 1)
    evaluated = sum(sample.orientation.split != "train" for sample in planned)
    return len(periodic) * sum(times) / max(1, len(times)) + evaluated * drawn


def _flat_images(config: Mapping[str, Any], potential: CrystalPotential) -> PeriodicImages:
    """Constant images of the right size."""
    grid, microscope = Grid(**config["grid"]), PlannedOptics.of(config).widest
    lengths = (potential.lengths[0], potential.lengths[1])
    my, mx = image_orders(lengths, microscope, config["simulation"]["multislice"]["window_angstrom"])
    shape = (len(grid.thickness_nm), grid.rotations, len(microscope.channels), 2 * my + 1, 2 * mx + 1)
    coefficients = np.zeros(shape, np.complex64)
    coefficients[..., my, mx] = _SHARE
    return PeriodicImages(lengths, 10 * np.array(grid.thickness_nm), np.zeros(grid.rotations), coefficients)
