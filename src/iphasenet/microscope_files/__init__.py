"""A user's images: from any file of a microscope to four calibrated segments, and back.

In: paths, and calibrations that the files lack. Out: `segmented_image.SegmentedImage`. `image_files.read_image` finds
the reader; `recording` defines what every reader returns; `foreign_files` and `export` write images and samples for
other programs.
"""
