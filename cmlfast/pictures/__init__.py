"""What a model looks like: the training report. It takes plain values, and knows no model.

Other rooms take the names below.
"""

from cmlfast.pictures.tensorboard import TensorBoard

__all__ = ["TensorBoard", "training", "training_report"]
