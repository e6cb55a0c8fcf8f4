"""Measurements: of the operators, of the machine's limits, and of the accuracy on real data."""
