"""Data sets to try the package on, by name: `load("movielens-100k")`; `load` lists them all.

The real ones belong to others and are not part of the package. Their files are looked for in the folder that
the environment variable CMLFAST_DATA names (or its sub-folder of the data set's name), then in the user's
cache, and are then downloaded into that, where an address and a hash are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from cmlfast.data.datasets import citeulike, movielens, published, simulated, triplets
from cmlfast.data.datasets.dataset import Dataset
from cmlfast.data.datasets.fetch import DatasetUnavailableError
from cmlfast.data.datasets.large import book_crossing, echonest, movielens_20m

__all__ = [
    "Dataset",
    "DatasetUnavailableError",
    "book_crossing",
    "citeulike_a",
    "citeulike_t",
    "echonest",
    "gowalla",
    "lastfm",
    "load",
    "movielens_20m",
    "movielens_100k",
    "synthetic",
]


def load(name: str, **options: Any) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        "movielens-100k", "movielens-20m", "book-crossing", "echonest", "citeulike-t", "citeulike-a", "gowalla",
        "lastfm" or "synthetic".
    **options
        The arguments of the function of that name.

    Raises
    ------
    ValueError
        If there is no such data set.
    DatasetUnavailableError
        If it is not on this machine and cannot be downloaded.
    """
    loaders: dict[str, Callable[..., Dataset]] = {
        movielens.NAME: movielens_100k,
        triplets.MOVIELENS_20M.name: movielens_20m,
        triplets.BOOK_CROSSING.name: book_crossing,
        triplets.ECHONEST.name: echonest,
        citeulike.NAME: citeulike_t,
        citeulike.NAME_A: citeulike_a,
        published.GOWALLA.name: gowalla,
        published.LASTFM.name: lastfm,
        "synthetic": synthetic,
    }
    if name not in loaders:
        raise ValueError(f"name={name!r} is no data set: choose from {', '.join(loaders)}")
    return loaders[name](**options)


def movielens_100k(min_rating: float = 4) -> Dataset:
    """Load MovieLens 100K: 943 people's ratings, from 1 to 5, of 1,682 films.

    The data belongs to GroupLens Research, University of Minnesota: F. Maxwell Harper and Joseph A. Konstan,
    The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015. Their terms: for research; acknowledge
    them; no redistribution and no commercial use without their permission.

    It is taken from the copy in the package RecBole, which pip downloads from the user's package index
    without installing it, or else from the publisher. Both give the same interactions. Titles may differ in
    small ways, such as spelling; articles stand behind the title in both ("Usual Suspects, The (1995)"). Features are
    the films' 19 genres, in the order of ``cmlfast.data.datasets.movielens.GENRES``; times are seconds since 1970.

    Parameters
    ----------
    min_rating : float
        The least rating that is a like. All users and films are kept, those without any like too.
    """
    interactions, titles, genres = movielens.read(min_rating)
    return Dataset(
        movielens.NAME,
        interactions,
        titles,
        genres,
        description=(
            f"MovieLens 100K, ratings of {min_rating:g} and more. GroupLens Research, "
            "University of Minnesota: F. Maxwell Harper and Joseph A. Konstan, The MovieLens Datasets: "
            "History and Context, 2015."
        ),
        terms=(
            "For research. Acknowledge GroupLens in publications; no redistribution and no commercial use "
            "without their permission; nothing may suggest that they endorse the work."
        ),
    )


def citeulike_a() -> Dataset:
    """Load citeulike-a: 5,551 people's libraries of 16,980 scientific articles, 204,986 pairs, and the articles' tags.

    Collected by Hao Wang, Binyi Chen and Wu-Jun Li, as `citeulike_t`, which is the paper's CiteULike; this smaller and
    denser one is also in common use. 7,386 tags of at least 5 articles.
    """
    interactions, features = citeulike.read_a()
    return Dataset(
        citeulike.NAME_A,
        interactions,
        None,
        features,
        description=(
            "citeulike-a, articles in the libraries of CiteULike's users, with their tags. Hao Wang, Binyi Chen and "
            "Wu-Jun Li, Collaborative Topic Regression with Social Regularization for Tag Recommendation, IJCAI 2013."
        ),
        terms="Published for research, without a licence. Cite the paper.",
    )


def citeulike_t(variant: Literal["clean", "as_published"] = "clean") -> Dataset:
    """Load citeulike-t: 7,947 people's libraries of 25,975 scientific articles, and the articles' tags.

    The data was collected by Hao Wang, Binyi Chen and Wu-Jun Li (Collaborative Topic Regression with Social
    Regularization for Tag Recommendation, IJCAI 2013) and comes from their public repository.

    Parameters
    ----------
    variant : {"clean", "as_published"}
        Each line of the files starts with how many ids follow. "clean" reads that so: 134,860 pairs, 8,311
        tags of at least 5 articles. "as_published" reads it as an id: 142,794 pairs, 10,399 tags. Those are
        the figures of the paper on Collaborative Metric Learning; only for comparing with it.
    """
    interactions, features = citeulike.read(variant)
    return Dataset(
        citeulike.NAME,
        interactions,
        None,
        features,
        description=(
            f"citeulike-t ({variant}), articles in the libraries of CiteULike's users, with their tags. "
            "Hao Wang, Binyi Chen and Wu-Jun Li, Collaborative Topic Regression with Social Regularization "
            "for Tag Recommendation, IJCAI 2013."
        ),
        terms="Published for research, without a licence. Cite the paper.",
    )


def gowalla() -> Dataset:
    """Load Gowalla: 29,858 people's check-ins at 40,981 places, split as many papers have it since LightGCN's.

    The check-ins were collected by Eunjoon Cho, Seth A. Myers and Jure Leskovec (Friendship and Mobility, KDD 2011;
    SNAP's loc-gowalla); the split, of those with 10 check-ins and more, is the one published with LightGCN (Xiangnan He
    et al., SIGIR 2020). ``train`` and ``validation`` together are its training set: papers train on both. The files
    train.txt, valid.txt and test.txt are looked for in CMLFAST_DATA and are not downloaded.
    """
    return _of_parts(
        published.GOWALLA,
        "Gowalla, check-ins. Eunjoon Cho, Seth A. Myers and Jure Leskovec, Friendship and Mobility, KDD 2011; "
        "split by Xiangnan He et al., LightGCN, SIGIR 2020.",
        "Published for research, without a licence. Cite the papers.",
    )


def lastfm() -> Dataset:
    """Load Last.fm: 1,885 people and which of 17,388 artists they listen to, with a split.

    It is HetRec 2011's, collected from www.last.fm by Iván Cantador, Peter Brusilovsky and Tsvi Kuflik (RecSys 2011).
    The files train.txt, valid.txt and test.txt are looked for in CMLFAST_DATA and are not downloaded.
    """
    return _of_parts(
        published.LASTFM,
        "HetRec 2011 Last.fm, artists that people listen to. Iván Cantador, Peter Brusilovsky and Tsvi Kuflik, 2nd "
        "Workshop on Information Heterogeneity and Fusion in Recommender Systems, RecSys 2011.",
        "For research, not for commercial use. Name www.last.fm and HetRec 2011, and cite the paper.",
    )


def _of_parts(source: published.Published, description: str, terms: str) -> Dataset:
    parts = source.read()
    return Dataset(source.name, parts.whole, None, None, description, terms, *parts)


def synthetic(
    n_users: int = 1000, n_items: int = 2000, n_pairs: int = 40000, n_groups: int = 20, seed: int = 0
) -> Dataset:
    """Make up a data set with tastes to learn: users like their own group's items most, popular ones more.

    Parameters
    ----------
    n_users, n_items : int
        The shape.
    n_pairs : int
        How many different pairs; at most a quarter of all.
    n_groups : int
        Tastes: groups of users and items, of which each user and each item has one.
    seed : int
        Decides everything, together with the other arguments.

    Raises
    ------
    ValueError
        If an argument is not positive, there are more groups than items, or too many pairs.
    """
    return Dataset(
        "synthetic",
        simulated.draw(n_users, n_items, n_pairs, n_groups, seed),
        None,
        None,
        description=f"Made up: {n_groups} groups of users and items, seed {seed}.",
        terms="None: it is nobody's.",
    )
