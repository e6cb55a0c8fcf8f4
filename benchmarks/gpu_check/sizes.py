"""How much ``bench_cuda.py`` measures."""

from __future__ import annotations

from benchmarks.case import N_COMPONENTS

DEVICE = "cuda"
ROUNDS, CALLS = 20, 10  # rounds, and calls in a round
COPY_BYTES = 1 << 30
GATHERED = 1_000_000  # rows
GATHER_TABLES = {"10MB": 25_000, "100MB": 250_000, "1GB": 2_500_000}  # rows of 400 bytes
LARGE = 1_000_000  # users, and items
LARGE_NEEDS = 10e9  # bytes: tables, a copy of them, the temporaries of plain torch
BATCHES = (10_000, 100_000)  # pairs
N_QUERIES, K = 1_000, 100
ROW_BYTES = 4 * N_COMPONENTS
