"""The microscope: from its settings to probe, aberrations and detector segments.

In: `optics.Microscope` (energy, aperture, aberrations, detector) and `acquisition.Acquisition` (dose, scan, gains).
Out: the plane waves of a probe (`probe.probe_blocks`) and the segments in the diffraction plane (`detector`).
"""
