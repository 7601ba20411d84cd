"""What a GPU must do as a CPU does.

It travels to GPU machines, so it imports what is there alone. Where there is no GPU, a CPU does it.
"""
