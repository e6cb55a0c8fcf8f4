"""Files and frames become likes, ids and splits, in the order of a model; knows neither operators nor models.

Other rooms take the modules named below.
"""

__all__ = [
    "align", "columns", "csr", "datasets", "dialect", "ids", "interactions", "parquet", "prepared", "progress", "sides",
    "sources", "split", "table_file", "tables", "tensor_file", "text", "times",
]  # fmt: skip
