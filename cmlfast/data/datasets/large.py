"""The large public data sets of the paper's Table 1, with its filters (section 4.1)."""

from __future__ import annotations

import os

from cmlfast.data.datasets import triplets
from cmlfast.data.datasets.dataset import Dataset


def movielens_20m(min_rating: float = 4, min_likes: int = 10, path: str | os.PathLike[str] | None = None) -> Dataset:
    """Load MovieLens 20M: 20,000,263 ratings, from 0.5 to 5, of 27,278 films by 138,493 people.

    The data belongs to GroupLens Research, University of Minnesota (F. Maxwell Harper and Joseph A. Konstan, The
    MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015), and comes from them; the terms are those of
    `movielens_100k`. The defaults are the filters of the paper on Collaborative Metric Learning, section 4.1, by which
    129,797 people, 20,709 films and 9,939,873 likes are left (its Table 1). It says "more than 10 ratings"; these
    figures are those of 10 and more, as others count who have the same ones. Times are seconds since 1970.

    Parameters
    ----------
    min_rating : float
        The least rating that is a like.
    min_likes : int
        The least likes of a user; those with fewer are left out, then films that nobody likes.
    path : str or path, optional
        ``ml-20m.zip``, its ``ratings.csv``, or a folder that has one of them.

    Raises
    ------
    FileNotFoundError
        If `path` is none of these.
    ValueError
        If the file is damaged or another one, or nothing is left.
    DatasetUnavailableError
        If there is no `path`, and the archive is not on this machine and cannot be downloaded.
    """
    likes = triplets.of_busy_users(triplets.MOVIELENS_20M.read(path, min_rating), min_likes)
    return Dataset(
        triplets.MOVIELENS_20M.name,
        likes,
        None,
        None,
        description=(
            f"MovieLens 20M, ratings of {min_rating:g} and more by users with {min_likes} and more of them. GroupLens "
            "Research, University of Minnesota: F. Maxwell Harper and Joseph A. Konstan, The MovieLens Datasets: "
            "History and Context, 2015."
        ),
        terms=(
            "For research. Acknowledge GroupLens in publications; no redistribution and no commercial use "
            "without their permission; nothing may suggest that they endorse the work."
        ),
    )


def book_crossing(min_rating: float = 0, min_likes: int = 6, path: str | os.PathLike[str] | None = None) -> Dataset:
    """Load Book-Crossing: 1,149,780 ratings of books, from 1 to 10, or 0 where a book was only shelved.

    Collected in 2004 by Cai-Nicolas Ziegler (with Sean M. McNee, Joseph A. Konstan and Georg Lausen, Improving
    Recommendation Lists Through Topic Diversification, WWW 2005). It is not downloaded: its publisher's address is
    gone. The defaults are the filter of the paper on Collaborative Metric Learning, section 4.1: "users that have more
    than 5 ratings", zeros among them, for its 623,405 ratings are more than the 433,671 of 1 and more. How it came to
    43,765 books it does not say; here all are kept that such a user has. ISBNs stay as they were written.

    Parameters
    ----------
    min_rating : float
        The least rating that is a like; 0 takes all rows.
    min_likes : int
        The least likes of a user; those with fewer are left out, then books that nobody likes.
    path : str or path, optional
        ``BX-CSV-Dump.zip``, its ``BX-Book-Ratings.csv``, or a folder that has one of them.

    Raises
    ------
    FileNotFoundError, ValueError, DatasetUnavailableError
        As `movielens_20m`.
    """
    likes = triplets.of_busy_users(triplets.BOOK_CROSSING.read(path, min_rating), min_likes)
    return Dataset(
        triplets.BOOK_CROSSING.name,
        likes,
        None,
        None,
        description=(
            f"Book-Crossing, ratings of {min_rating:g} and more by users with {min_likes} and more of them. "
            "Cai-Nicolas Ziegler, Sean M. McNee, Joseph A. Konstan and Georg Lausen, Improving Recommendation Lists "
            "Through Topic Diversification, WWW 2005."
        ),
        terms="For research. Cite the paper.",
    )


def echonest(min_plays: int = 5, path: str | os.PathLike[str] | None = None) -> Dataset:
    """Load the Echo Nest taste profile: how often 1,019,318 people played which of 384,546 songs.

    It is the Million Song Dataset's (Thierry Bertin-Mahieux, Daniel P.W. Ellis, Brian Whitman and Paul Lamere, ISMIR
    2011; the profile by Brian McFee et al., WWW 2012 Companion). It is not downloaded: no hash of it is known. The
    default is the filter of the paper on Collaborative Metric Learning, section 4.1: songs that somebody "listened to
    for at least 5 times", by which its Table 1 has 766,882 people, 260,417 songs and 7,261,443 likes.

    Parameters
    ----------
    min_plays : int
        The least plays that are a like. People and songs without one are left out.
    path : str or path, optional
        ``train_triplets.txt.zip``, its ``train_triplets.txt``, or a folder that has one of them.

    Raises
    ------
    FileNotFoundError, ValueError, DatasetUnavailableError
        As `movielens_20m`.
    """
    likes = triplets.of_busy_users(triplets.ECHONEST.read(path, min_plays), 1)
    return Dataset(
        triplets.ECHONEST.name,
        likes,
        None,
        None,
        description=(
            f"The Echo Nest taste profile, songs that somebody played {min_plays} times and more. Thierry "
            "Bertin-Mahieux, Daniel P.W. Ellis, Brian Whitman and Paul Lamere, The Million Song Dataset, ISMIR 2011."
        ),
        terms="For research. Cite the paper.",
    )
