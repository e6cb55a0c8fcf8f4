"""What a model looks like: the map of what it learned, and the report of its training. It knows no model.

Other rooms take the names below.
"""

from cmlfast.pictures.tensorboard import TensorBoard

__all__ = ["TensorBoard", "draw_map", "map_data", "training_report"]
