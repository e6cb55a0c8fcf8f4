"""Users and items are treated alike in many places: the same thing of both, and what to call each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

Kind = Literal["item", "user"]
KINDS: tuple[Kind, ...] = get_args(Kind)
T = TypeVar("T")


@dataclass(frozen=True)
class Sides(Generic[T]):
    """The same thing of the users and of the items."""

    user: T
    item: T

    def __getitem__(self, kind: Kind) -> T:
        return {"user": self.user, "item": self.item}[kind]

    def __iter__(self) -> Iterator[T]:
        return iter((self.user, self.item))
