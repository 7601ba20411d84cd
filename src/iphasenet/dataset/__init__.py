"""The data set: a Zarr store of samples, written, read, checked, described and uploaded.

In: `simulation.rendering.Rendered` of each material (`writer`). Out: a sealed store, which `reader.open_dataset` opens,
and `material_data.MaterialData`, one material's samples in memory, which training, evaluation and figures work on.
"""
