"""What a data set is: likes, what comes with them, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set.

    Attributes
    ----------
    name : str
        What `load` calls it.
    interactions : Interactions of shape (n_users, n_items)
        Who liked what.
    item_titles : ndarray of shape (n_items,), object of str; or None
        In the order of `interactions.item_ids`.
    item_features : scipy.sparse.csr_matrix of shape (n_items, n_features), float32; or None
        In the same order.
    description : str
        What it is and whose it is.
    terms : str
        What its owners allow.
    train, validation, test : Interactions of the same shape; or None
        The parts that were published, if it was published in parts.
    """

    name: str
    interactions: Interactions
    item_titles: npt.NDArray[np.object_] | None
    item_features: sparse.csr_matrix | None
    description: str
    terms: str
    train: Interactions | None = None
    validation: Interactions | None = None
    test: Interactions | None = None
