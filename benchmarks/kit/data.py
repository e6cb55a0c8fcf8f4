"""The data that is measured on: citeulike-t or, where it cannot be had, made-up data of its size."""

from __future__ import annotations

from cmlfast import Interactions, datasets, split_per_user

Split = tuple[Interactions, Interactions, Interactions]  # training, validation, test

SEEDS = (0, 1, 2)  # of the splits
KS = (50, 100)  # of Recall@K


def load_dataset() -> datasets.Dataset:
    """Return citeulike-t or what stands for it."""
    try:
        return datasets.load("citeulike-t")
    except datasets.DatasetUnavailableError:
        return datasets.load("synthetic", n_users=8_000, n_items=26_000, n_pairs=135_000)


def load_split(seed: int = 0) -> tuple[str, Split]:
    """Return the data set's name and one of its splits per user, 60/20/20."""
    data = load_dataset()
    return data.name, split_per_user(data.interactions, seed)
