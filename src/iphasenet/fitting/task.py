"""From a recorded image and a crystal to what is fitted."""

from dataclasses import replace

from ase import Atoms

from iphasenet.fitting.fit import Task
from iphasenet.fitting.limits import Limits
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.reconstruction.preparation import aligned, check_known, microscope_of


def task_of(
    image: SegmentedImage, cell: Atoms, limits: Limits | None = None, device: str = "cpu", threads: int = 1
) -> Task:
    """
    Prepare a fit.

    Parameters
    ----------
    image : SegmentedImage
        Images with all calibrations of the microscope; nothing of the crystal is used.
    cell : ase.Atoms
        Orthogonal cell of the crystal, beam along z (`iphasenet.crystal.structure.orthogonal_cell`).
    limits : Limits, optional
        What is known beforehand.
    device : str
        Torch device.
    threads : int
        Simulations that are made at a time.

    Returns
    -------
    Task
        The image is not turned: a detector that is turned in it is turned in the simulation.

    Raises
    ------
    InputError
        If a calibration is missing.
    """
    check_known(image, crystal=False)
    straight, rest = aligned(image)
    microscope = replace(microscope_of(image), detector_rotation_deg=rest)
    assert image.sampling is not None
    return Task(
        straight.fractions, image.sampling, microscope, cell, limits or Limits(), device=device, threads=threads
    )
