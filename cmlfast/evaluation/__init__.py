"""How good answers are: measures of a ranking, Recall@K of tables and models, the popularity baseline.

Other rooms take the modules named below.
"""

__all__ = ["evaluate", "measures", "popularity"]
