"""The network: from four segments, thickness and tilt to the projected potential.

In: tensors of segments and metadata. Out: potential and uncertainty (`potential_network.PotentialNetwork`). Its
SwinUNETR holds the columns at the entrance surface, and `column_projection` projects them along the tilt. `weights`
keeps networks in safetensors; `symmetry` and `rotations` turn images and angles together.
"""
