"""All that needs a GPU, unattended, into one report: ``python -m benchmarks.gpu.gpu_check``."""
