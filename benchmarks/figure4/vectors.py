"""What is searched: vectors that CML and matrix factorization learned of real likes, or of made-up ones of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from benchmarks.kit.data import load_dataset
from benchmarks.kit.text import log
from benchmarks.peers.libraries import PEERS, Factors, Setting, fit_als, fit_cml
from cmlfast import Interactions, datasets, split_per_user

N_QUERIES = 4000
# What trains large catalogues within minutes on two cores, and finds about as much by either method.
QUICK_CML: Setting = {"loss": "warp", "epochs": 20, "n_negatives": 10}
QUICK_ALS: Setting = {"epochs": 10, "factors": 100, "regularization": 30.0, "alpha": 40.0}


@dataclass(frozen=True)
class Case:
    """A catalogue.

    Attributes
    ----------
    name : str
    likes : callable
        Makes the interactions.
    cml, als : dict
        How the two are trained.
    """

    name: str
    likes: Callable[[], Interactions]
    cml: Setting
    als: Setting


def _made_up(n_users: int, n_items: int, n_pairs: int) -> Callable[[], Interactions]:
    # Groups of some five hundred items: tastes as narrow as a genre of music.
    groups = max(1, n_items // 500)
    return lambda: datasets.synthetic(n_users, n_items, n_pairs, groups, seed=0).interactions


CASES = {
    "citeulike-t": Case(
        "citeulike-t",
        lambda: load_dataset().interactions,
        PEERS["cmlfast_softmax"].setting,
        PEERS["implicit_als"].setting,
    ),
    # EchoNest's size in the paper's Table 1.
    "260417": Case("260,417 items, made up", _made_up(766_882, 260_417, 7_261_443), QUICK_CML, QUICK_ALS),
    "1000000": Case("1,000,000 items, made up", _made_up(1_000_000, 1_000_000, 10_000_000), QUICK_CML, QUICK_ALS),
}


@dataclass(frozen=True)
class Learned:
    """Vectors of some users with held-out likes, and of all items.

    Attributes
    ----------
    seen, held_out : csr_matrix of shape (Q, J)
        What these users like, in training and in the test.
    cml, mf : Factors
        Of the same users and items.
    """

    seen: sparse.csr_matrix
    held_out: sparse.csr_matrix
    cml: Factors
    mf: Factors


def learned(case: Case, folder: Path | None = None) -> Learned:
    """Train both on the training and validation part of a split, or read what was trained before from a folder."""
    path = None if folder is None else folder / f"{case.name.replace(' ', '-')}.npz"
    if path is not None and path.exists():
        return _read(path)
    train, validation, test = split_per_user(case.likes(), seed=0)
    likes = (train.matrix + validation.matrix).tocsr()
    users = _some_users(test.matrix)
    threads = torch.get_num_threads()
    log(f"{case.name}: {likes.shape[0]:,} users, {likes.nnz:,} likes; training CML")
    cml = fit_cml(likes, case.cml, threads)
    log(f"{case.name}: training ALS")
    mf = fit_als(likes, case.als, threads)
    found = Learned(
        likes[users], test.matrix[users], *(Factors(one.users[users], one.items, one.metric) for one in (cml, mf))
    )
    if path is not None:
        _write(path, found)
    return found


def _some_users(held_out: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    users = np.flatnonzero(np.diff(held_out.indptr))
    return np.sort(np.random.default_rng(0).permutation(users)[:N_QUERIES])


def _write(path: Path, found: Learned) -> None:
    arrays = {
        "cml_users": found.cml.users, "cml_items": found.cml.items, "mf_users": found.mf.users,
        "mf_items": found.mf.items, "shape": np.array(found.seen.shape),
    }  # fmt: skip
    for name, matrix in (("seen", found.seen), ("held_out", found.held_out)):
        arrays |= {f"{name}_indptr": matrix.indptr, f"{name}_indices": matrix.indices}
    np.savez(path, **arrays)


def _read(path: Path) -> Learned:
    with np.load(path) as arrays:
        seen, held_out = (
            sparse.csr_matrix(
                (np.ones(len(arrays[f"{name}_indices"])), arrays[f"{name}_indices"], arrays[f"{name}_indptr"]),
                shape=tuple(arrays["shape"]),
            )
            for name in ("seen", "held_out")
        )
        return Learned(
            seen,
            held_out,
            Factors(arrays["cml_users"], arrays["cml_items"], "sqeuclidean"),
            Factors(arrays["mf_users"], arrays["mf_items"], "dot"),
        )
