"""
The field test: images as a microscope records them, inverted in several ways, and what each way got right.

Comes in: structures, weights and the settings of the test. Goes out: simulated specimens with their truth, the results
of each way, tables and figures. The images are made by another model than that which is trained and fitted: other
displacements and scattering factors, defects, dirt, an imperfect detector.
"""
