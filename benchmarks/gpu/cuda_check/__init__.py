"""Holds the compiled CUDA kernels to their plan, without a GPU: ``python -m benchmarks.gpu.cuda_check``."""
