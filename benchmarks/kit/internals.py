"""All that benchmarks take from inside the package, which may move there: they import it from here."""

from cmlfast import backends
from cmlfast._arithmetic import rank_weights
from cmlfast.metrics import recall_per_user
from cmlfast.networks import FeatureMLP
from cmlfast.popularity import popularity_recall
from cmlfast.rarity import user_points
from cmlfast.serving import nearest
from cmlfast.settings import auto_batch_size, auto_n_negatives, resolve
from cmlfast.steps import metric_step
from cmlfast.training import Pairs, Schedule, Tables, new_tables, run_epoch, zeros

__all__ = [
    "FeatureMLP",
    "Pairs",
    "Schedule",
    "Tables",
    "auto_batch_size",
    "auto_n_negatives",
    "backends",
    "metric_step",
    "nearest",
    "new_tables",
    "popularity_recall",
    "rank_weights",
    "recall_per_user",
    "resolve",
    "run_epoch",
    "user_points",
    "zeros",
]
