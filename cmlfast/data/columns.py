"""Find the columns of users and items among a table's: by the names that everybody uses, or by their places.

What was taken as what is always said, through the logger "cmlfast": as information where it was named or found by name,
as a warning where the names tell nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

LOG = logging.getLogger("cmlfast")


def _stems(words: str) -> frozenset[str]:
    return frozenset(words.split())


USERS = _stems("""
    account buyer client consumer customer listener member person reader reviewer shopper subscriber u uid user viewer
    visitor""")
ITEMS = _stems("""
    ad album anime app artist article asin beer book business content course doc document episode event film game gmap
    good hotel i iid isbn item job joke listing location manga movie news offer page paper place podcast poi post
    product property recipe repo repository restaurant series show sku song subreddit track venue video wine""")
# What items, or users, are described by: a table of items and tags has the items in its rows.
FEATURES = _stems("attribute brand category feature genre keyword label style tag token topic word")
OTHERS = _stems("""
    amount comment count createdat date datetime name number play playcount position price quantity rank rating review
    score star stars target text time timestamp title ts unixtime url value weight year""")
SUFFIXES = ("", "id", "ids", "idx", "index", "key", "no", "nr", "code", "uuid", "guid")
MOST = 20  # names that are told
# The number of a row, which pandas writes without a name.
ROW_NUMBER = re.compile(r"|Unnamed: \d+|__index_level_\d+__|level_\d+|index|row_?(number|nr|id)?", re.IGNORECASE)


@dataclass(frozen=True)
class Roles:
    """Which column is what; None for what is to be found by its name, and for values and times for none.

    Of a table that describes items or users, "user" are their ids and "item" is what describes them: tags, or titles.
    """

    describes: Literal["likes", "item tags", "user tags", "item titles"] = field(default="likes", kw_only=True)
    user: str | None = None
    item: str | None = None
    value: str | None = None
    time: str | None = None

    def given(self) -> dict[str, str]:
        """Return the columns that the caller has named, by role."""
        roles = {"user": self.user, "item": self.item, "value": self.value, "time": self.time}
        return {role: name for role, name in roles.items() if name is not None}


def choose(names: Sequence[str], asked: Roles, table: str) -> dict[str, str]:
    """Settle which columns are the users', the items', the values' and the times'.

    Columns that are not named are found by names such as userId, movie_id or artist, and of items and their tags the
    items are the rows. Where names tell nothing, they are the first and the second of those columns that are no row
    number and are not called rating, timestamp or the like.

    Parameters
    ----------
    names : sequence of str
        The table's columns.
    asked : Roles
        The caller's choice.
    table : str
        What to call the table in messages.

    Returns
    -------
    dict
        From "user", "item" and, if asked for, "value" and "time" to the column.

    Raises
    ------
    ValueError
        If a chosen column is not there, or more than one may be meant.
    """
    if len(names) < 2:
        raise ValueError(f"{len(names)} column(s) [{_listed(names)}]: users and items need one each")
    given = asked.given()
    for role, name in given.items():
        _require_one(names, role, name)
    free = [name for name in names if name not in given.values() and not ROW_NUMBER.fullmatch(name)]
    user, item, by_place = asked.user, asked.item, False
    if asked.describes != "likes":
        user, item = _described(free, *asked.describes.split())
    if user is None and item is None:
        user, item = _pair(free)
        by_place = user is None
    if user is None and item is None:
        user, item = _first_two(free, names)
    if user is None:
        user, by_place = _other(free, (USERS,), "user", names)
    if item is None:
        item, by_place = _other(free, (ITEMS, FEATURES), "item", names)
    chosen = {"user": user, "item": item} | given
    for role in ("user", "item"):
        _require_one(names, role, chosen[role])
    if len(set(chosen.values())) < len(chosen):
        pairs = ", ".join(f"{role}={name!r}" for role, name in chosen.items())
        raise ValueError(f"{pairs}: name a different column for each")
    _say(names, chosen, by_place, table, asked.describes)
    return chosen


def _listed(names: Sequence[str]) -> str:
    """Return names as they are told, not all of very many."""
    rest = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return ", ".join(repr(name if len(name) < 60 else name[:57] + "...") for name in names[:MOST]) + rest


def is_known(name: str) -> bool:
    """Whether a name is one that columns of likes have."""
    return any(_is(name, some) for some in (USERS, ITEMS, FEATURES, OTHERS))


def _require_one(names: Sequence[str], role: str, name: str) -> None:
    found = list(names).count(name)
    if found != 1:
        problem = "is not there" if found == 0 else f"is there {found} times"
        raise ValueError(f"{role}={name!r}: this column {problem}; the columns are [{_listed(names)}]")


def _is(name: str, stems: frozenset[str]) -> bool:
    """Whether a name is one of some stems, in whatever spelling: user, Users, userId, user_id, USER ID."""
    plain = re.sub(r"[\W_]", "", name.lower().partition(":")[0])  # RecBole writes user_id:token
    bare = {plain.removesuffix(suffix) for suffix in SUFFIXES if plain.endswith(suffix)}
    return not stems.isdisjoint(bare | {one.removesuffix("s") for one in bare})


def _named(free: Sequence[str], stems: frozenset[str], role: str) -> str | None:
    """Return the one column of a name, or None."""
    found = [name for name in free if _is(name, stems)]
    if len(found) > 1:
        raise ValueError(f"columns {_listed(found)} may all be the {role}s': say which with {role}=... (--{role})")
    return found[0] if found else None


def _pair(free: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the columns that names tell, or twice None."""
    user, item = _named(free, USERS, "user"), _named(free, ITEMS, "item")
    one, features = user or item, [name for name in free if _is(name, FEATURES)]
    if (user and item) or not one:
        return user, item
    if len(features) == 1:
        return one, features[0]
    rest = _telling([name for name in free if name != one])
    if len(rest) == 1 and user:
        return user, rest[0]
    if len(rest) == 1 and free.index(rest[0]) < free.index(one):
        return rest[0], item
    known, other = ("user", "item") if user else ("item", "user")
    raise ValueError(
        f"the columns are [{_listed(free)}], of which {one!r} is the {known}s' by its name; say which is the "
        f"{other}s', with {other}=... (--{other})"
    )


def _described(free: Sequence[str], kind: str, what: str) -> tuple[str, str]:
    """Return the columns of ids and of what describes them: of tags there must be no other, for it would be lost."""
    stems = ITEMS if kind == "item" else USERS
    named = [name for name in free if _is(name, stems)]
    rest = [name for name in free if name not in named]
    if what == "titles" and len(free) > 2:
        titles = [name for name in rest if re.search("title|name", name, re.IGNORECASE)]
        if len(named) == 1 and titles:
            return named[0], titles[0]
        raise ValueError(
            f"the columns are [{_listed(free)}]; name the ids' after items, such as item_id, and the titles' title"
        )
    if len(free) != 2:
        raise ValueError(
            f"{len(free)} columns, {', '.join(free[:6])}; a file of {what} has two, ids and {what}, and a row for each "
            f"{what.removesuffix('s')} that one has"
        )
    return (named[0], rest[0]) if len(named) == 1 else (free[0], free[1])


def _telling(names: Sequence[str]) -> list[str]:
    """Leave out columns such as ratings and timestamps, unless nothing else is there."""
    return [name for name in names if not _is(name, OTHERS)] or list(names)


def _first_two(free: Sequence[str], names: Sequence[str]) -> tuple[str, str]:
    rest = _telling(free)
    if len(rest) < 2:
        rest = list(free)
    if len(rest) < 2:
        raise ValueError(
            f"the columns are [{_listed(names)}]: say which has the users and which the items, with user=... and "
            "item=... (--user, --item)"
        )
    return rest[0], rest[1]


def _other(free: Sequence[str], stems: Sequence[frozenset[str]], role: str, names: Sequence[str]) -> tuple[str, bool]:
    """Return the column of one role where the caller has named the other, and whether it is by its place alone."""
    for some in stems:
        named = _named(free, some, role)
        if named:
            return named, False
    if not free:
        raise ValueError(f"the columns are [{_listed(names)}]: there is none left for {role}=")
    return _telling(free)[0], True


def _say(names: Sequence[str], chosen: dict[str, str], by_place: bool, table: str, describes: str) -> None:
    unused = [name for name in names if name not in chosen.values()]
    # Of what describes items or users: items and their tags, or titles.
    called = (
        {} if describes == "likes" else dict(zip(("user", "item"), describes.removesuffix("s").split(), strict=True))
    )
    said = ", ".join(f"{called.get(role, role)} from {name!r}" for role, name in chosen.items())
    rest = f"; not used: {_listed(unused)}" if unused else ""
    doubt = " (guessed from the columns' order; name them with user= and item=, or --user and --item)"
    tell: Callable[..., None] = LOG.warning if by_place else LOG.info
    tell("%s: %s%s%s", table, said, doubt if by_place else "", rest)
