"""Evaluation: predictions and baselines on the test split, and their scores.

In: weights and a data set. Out: predictions (`predictions`), tables of scores of every sample, method and atomic column
(`scores.evaluate_material`), and their means with intervals (`summary`). Baselines are the integrated centre of mass
(`idpc`), a Wiener filter, an inversion of the phase object, and the nearest training sample.
"""
