"""A user's images: from any file of a microscope to four calibrated segments, and back.

In: paths, and what the files do not say. Out: `segmented_image.SegmentedImage`. `image_files.read_image` finds the
reader; `recording` says what every reader delivers; `foreign_files` and `export` write images and samples for other
programs.
"""
