"""Checks of the CUDA kernels: what nvcc makes of them, what they must move, and all that needs a GPU to be seen."""
