"""A few made-up ratings, in both of the formats in which MovieLens 100K is read."""

import hashlib
import zipfile
from pathlib import Path

RATINGS = [(1, 1, 5), (1, 267, 4), (943, 1682, 4), (2, 1412, 3), (2, 543, 5)]
TITLES = {
    1: ("Toy Story", "1995"),
    543: ("Mis\u00e9rables, Les", "1995"),
    1412: ("Land Before Time III: The Time of the Great Giving (1995)", "V"),
}
# Of the films 1 and 267, and of all others; the publisher's columns begin with unknown, Action, Adventure, Animation.
GENRES = {1: "Animation Children's Comedy"}
MARKS = {
    1: "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0",
    2: "0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0",
    267: "1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0",
}


def original() -> dict[str, bytes]:
    """Make files in the publisher's format, with the oddities of theirs."""
    films = []
    for item in range(1, 1683):
        title, year = TITLES.get(item, (f"Film {item}", "1990"))
        name = "unknown|" if item == 267 else f"{title} ({year}) |01-Jan-1995"
        films.append(f"{item}|{name}||http://example.org|{MARKS.get(item, MARKS[2])}")
    return {
        "ml-100k/u.data": "".join(f"{u}\t{i}\t{r}\t881250949\n" for u, i, r in RATINGS).encode(),
        "ml-100k/u.item": "\n".join(films).encode("latin-1"),
    }


def atomic() -> dict[str, bytes]:
    """Make the same in RecBole's format."""
    films = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    for item in range(1, 1683):
        title, year = TITLES.get(item, (f"Film {item}", "1990"))
        fields = ("unkonwn", "unkonwn", "unknown") if item == 267 else (title, year, GENRES.get(item, "Drama"))
        films.append("\t".join((str(item), *fields)))
    ratings = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    ratings += [f"{u}\t{i}\t{r}\t881250949" for u, i, r in RATINGS]
    return {"ml-100k.inter": "\n".join(ratings).encode(), "ml-100k.item": "\n".join(films).encode()}


def write_zip(path: Path, members: dict[str, bytes]) -> str:
    """Write an archive and return its hash."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()
