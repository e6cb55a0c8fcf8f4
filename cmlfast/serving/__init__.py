"""A `Fitted` becomes answers, and a file: search, recommendations, fold-in, saving and loading.

Other rooms take the modules named below.
"""

__all__ = [
    "everyone",
    "explain",
    "index_file",
    "indexed",
    "nearest",
    "neighbours",
    "persistence",
    "queries",
    "recommend",
    "summary",
]
