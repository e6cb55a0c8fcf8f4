"""Recall and training time on real data, beside tuned ALS and popularity: ``python -m benchmarks.accuracy``."""
