"""Searches with Optuna for the settings that suit a user's own likes: many fits, judged on held-out ones."""

from cmlfast.tuning.search import FEATURE_SPACE, NOT_COMPARED, SEARCHED, SOFTMAX_SPACE, SPACE, Tuned, tune

__all__ = ["FEATURE_SPACE", "NOT_COMPARED", "SEARCHED", "SOFTMAX_SPACE", "SPACE", "Tuned", "tune"]
