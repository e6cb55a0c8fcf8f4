"""A model of the CUDA training step: bytes, instructions, time floor. ``python -m benchmarks.cuda_model`` prints it."""

from benchmarks.cuda_model.model import CITEULIKE, GPUS, LARGE, bytes_per_pair, floor_seconds, least, moved
from benchmarks.cuda_model.shape import Shape

__all__ = ["CITEULIKE", "GPUS", "LARGE", "Shape", "bytes_per_pair", "floor_seconds", "least", "moved"]
