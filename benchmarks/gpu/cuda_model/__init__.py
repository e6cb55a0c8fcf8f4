"""A model of the CUDA training step: bytes and time floor. ``python -m benchmarks.gpu.cuda_model`` prints it."""
