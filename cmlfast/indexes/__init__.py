"""Approximate nearest-neighbour search by other people's libraries, behind one protocol: arrays in, row numbers out."""

from cmlfast.indexes.index import Index, parameters_of
from cmlfast.indexes.kinds import KINDS, of_kind

__all__ = ["KINDS", "Index", "of_kind", "parameters_of"]
