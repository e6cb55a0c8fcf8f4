"""The tables of the paper's section 4 as commands: ``benchmarks.paper.table2`` and ``benchmarks.paper.cold_start``."""
