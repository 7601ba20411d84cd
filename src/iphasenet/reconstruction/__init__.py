"""Reconstruction: from four segments to the projected potential.

In: `microscope_files.segmented_image.SegmentedImage` and weights. Out: `reconstruct.Reconstruction`, potential,
uncertainty and what was checked. `preparation` brings images to the network's conventions; `agreement` simulates the
images of the result and compares; `model_hub.export_model` packs weights for others.
"""
