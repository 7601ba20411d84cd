"""Simulated four-quadrant STEM data sets and the network that inverts them.

Data flows one way: structure -> potential -> scattering matrix -> periodic images -> samples -> noise ->
data set -> training -> evaluation -> report. Conventions (axes, signs, units) stand in docs/conventions.md.
"""

__version__ = "0.1.0"
