"""Figures and report of a run, from its scores and examples.

In: the tables of `iphasenet.evaluation`, examples of the data set, the run's cost. Out: PNG and SVG figures, and one
HTML page (`page.write_report`) with an interactive viewer.
"""
