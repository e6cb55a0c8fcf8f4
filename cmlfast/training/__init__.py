"""Likes become two tables (paper, sections 3.2 to 3.5): settings, losses, steps, epochs, and `Fitted`, their result.

Other rooms take the modules named below.
"""

from cmlfast.training.loop import DivergedError

__all__ = [
    "DivergedError", "auto", "checkpoint", "checkpoint_file", "course", "fit", "fitted", "interrupts", "loop", "loss",
    "pairs", "partial_fit", "progress", "record", "retention", "settings", "side_information", "softmax", "tables",
    "warp",
]  # fmt: skip
