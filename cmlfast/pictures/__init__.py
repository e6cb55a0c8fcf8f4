"""What a model looks like: pictures of arrays, ids and plain values, for people to look at; knows no model.

Other rooms take the modules named below.
"""

__all__ = ["draw_map", "map_data"]
