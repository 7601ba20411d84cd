"""Figures and the report: from scores and examples to what a reader sees.

In: the tables of `iphasenet.evaluation`, examples of the data set, the run's cost. Out: PNG and SVG figures, and one
HTML page (`page.write_report`) with an interactive viewer.
"""
