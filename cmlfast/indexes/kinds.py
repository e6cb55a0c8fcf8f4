"""Which indexes there are."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from cmlfast.indexes.annoy import Annoy
from cmlfast.indexes.hnsw import Hnsw
from cmlfast.indexes.index import Index
from cmlfast.indexes.ivf import Ivf

KINDS: dict[str, type[Annoy] | type[Hnsw] | type[Ivf]] = {"annoy": Annoy, "hnsw": Hnsw, "ivf": Ivf}


def of_kind(kind: str, parameters: dict[str, Any]) -> Index:
    """Return an index of a kind, yet without points.

    Parameters
    ----------
    kind : {"annoy", "hnsw", "ivf"}
    parameters : dict
        Of this kind, see its class.

    Raises
    ------
    ValueError
        For another kind; for a parameter that it does not have, or whose value is none of its own.
    """
    made: Any = KINDS.get(kind)
    if made is None:
        raise ValueError(f"kind is {kind!r}; it must be 'exact' or one of {', '.join(map(repr, KINDS))}")
    defaults = {field.name: field.default for field in dataclasses.fields(made) if field.init}
    for name, value in parameters.items():
        if name not in defaults:
            raise ValueError(
                f"{name} is no parameter of an index of the kind {kind!r}; it has {', '.join(map(repr, defaults))}"
            )
        if value is None and defaults[name] is None:
            continue
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be an integer of at least 1")
    index: Index = made(**{name: value if value is None else int(value) for name, value in parameters.items()})
    return index
