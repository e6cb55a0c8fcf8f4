"""Measurements: of the operators, of the machine's limits, and of the accuracy on real data.

``pytest benchmarks/ --benchmark-only`` runs the suites ``bench_*.py``; each folder but `kit` has commands of its own.
"""
