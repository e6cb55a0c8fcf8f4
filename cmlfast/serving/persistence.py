"""A fitted model to one file and back: what :class:`Fitted` holds, by name, and the parameters in the header."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn

from cmlfast.data.csr import Counts, likes_of_items
from cmlfast.data.ids import Ids, are_positions
from cmlfast.data.interactions import Interactions
from cmlfast.data.sides import KINDS, Sides
from cmlfast.data.tensor_file import (
    Where,
    damage,
    pack_csr,
    pack_ids,
    read,
    require,
    under,
    unpack_csr,
    unpack_ids,
    write,
)
from cmlfast.features.network import pack_network, unpack_network
from cmlfast.serving import index_file
from cmlfast.serving.indexed import Indexed
from cmlfast.training.course import check_history, is_number
from cmlfast.training.fitted import Fitted
from cmlfast.training.settings import DTYPES, resolve
from cmlfast.training.tables import TABLES, Tables


def save(path: Where, fitted: Fitted, params: dict[str, Any], found: Indexed | None) -> None:
    """Write what was fitted, the parameters of its class and its index, see :meth:`cmlfast.CML.save`."""
    if fitted.missing_networks:
        raise ValueError(
            f"this model was loaded without its own {' and '.join(fitted.missing_networks)}, which would be missing "
            "in the new file; pass it to load"
        )
    tensors = dict(zip(TABLES, fitted.tables.all(), strict=True))
    tensors |= _named("user_ids", pack_ids(fitted.known.user_ids))
    tensors |= _named("item_ids", pack_ids(fitted.known.item_ids))
    tensors["item_likes"] = torch.from_numpy(fitted.item_likes)
    tensors |= {f"{kind}_placed": torch.from_numpy(fitted.placed[kind]) for kind in KINDS}
    seen = {f"{kind}_last_seen": fitted.last_seen[kind] for kind in KINDS}
    tensors |= {name: torch.from_numpy(times) for name, times in seen.items() if times is not None}
    if fitted.has_pairs:
        tensors |= _named("user_items", pack_csr(fitted.known.matrix))
    networks = {}
    for kind in ("user", "item"):
        tags, network = fitted.tag_ids[kind], fitted.networks[kind]
        if tags is not None:
            tensors |= _named(f"{kind}_feature_ids", pack_ids(tags))
        if network is not None:
            weights, networks[f"{kind}_network"] = pack_network(network)
            tensors |= _named(f"{kind}_network", weights)
    settings = fitted.settings
    stored = {name: value for name, value in params.items() if not name.endswith("_network")}
    stored |= {
        "random_state": settings.seed,
        "device": str(params["device"]),
        "dtype": fitted.dtype,
        "rowwise_adagrad": settings.rowwise_adagrad,
        "keep_user_items": fitted.has_pairs,
    }
    metadata = {
        "params": stored,
        "networks": networks,
        "history": fitted.history,
        "n_negatives": settings.loss.n_negatives,
        "auto": settings.found,
        "batch_size": settings.batch_size,
        "skipped": fitted.skipped,
        "by_position": fitted.known.by_position,
    }
    before, index = index_file.named_by(path), index_file.write(path, found)
    try:
        write(path, tensors, {**metadata, "index": index})
    except BaseException:
        index_file.remove(path, index)
        raise
    index_file.remove(path, before)


@dataclass(frozen=True)
class Stored:
    """What a model's file holds, checked.

    Attributes
    ----------
    params : dict
        Of the class, networks apart.
    """

    params: dict[str, Any]
    _tensors: dict[str, Tensor]
    _metadata: dict[str, Any]
    _known: Interactions  # without pairs if they were not kept
    _item_likes: Counts
    _tag_ids: Sides[Ids | None]

    def fitted(self, params: dict[str, Any], own: Sides[nn.Module | None], device: torch.device) -> Fitted:
        """Return what was fitted.

        Parameters
        ----------
        params : dict
            Of the class that reads it.
        own : Sides of nn.Module or None
            The caller's networks, to take up the stored weights of such.
        device : torch.device

        Raises
        ------
        TypeError, ValueError
            If a parameter or a network does not fit.
        """
        found = {"n_negatives": self._metadata["n_negatives"], "batch_size": self._metadata["batch_size"]}
        found = self._metadata.get("auto", found)
        stored = self._metadata.get("networks", {})
        networks = {}
        for kind in ("user", "item"):
            name = f"{kind}_network"
            network = unpack_network(stored.get(name), self._tensors, name, own[kind])
            networks[kind] = network and network.to(device)
        missing = [f"{kind}_network" for kind in ("item", "user") if networks[kind] is None]
        return Fitted(
            tables=Tables(*(self._tensors[name].to(device) for name in TABLES)),
            known=self._known,
            has_pairs=params["keep_user_items"],
            item_likes=self._item_likes,
            settings=replace(resolve({**params, **found}, 1, *self._known.shape), found=found),
            history=self._metadata["history"],
            skipped=self._metadata["skipped"],
            networks=Sides(**networks),
            tag_ids=self._tag_ids,
            placed=self._placed("item_network" in stored, "user_network" in stored),
            by_features="item_network" in stored,
            last_seen=Sides(*(self._seen(kind) for kind in ("user", "item"))),
            missing_networks=tuple(name for name in missing if name in stored),
        )

    @property
    def index(self) -> dict[str, Any] | None:
        """What the file says of an index beside it."""
        return self._metadata.get("index")

    def _seen(self, kind: str) -> npt.NDArray[np.float64] | None:
        tensor = self._tensors.get(f"{kind}_last_seen")
        return None if tensor is None else tensor.numpy()

    def _placed(self, items_by_features: bool, users_by_features: bool) -> Sides[npt.NDArray[np.bool_]]:
        """Return of which users and items something was learned; older files say it by other things."""
        stored = [self._tensors.get(f"{kind}_placed") for kind in ("user", "item")]
        older = (
            self._tensors["user_state"].any(1).numpy() | users_by_features, (self._item_likes > 0) | items_by_features
        )  # fmt: skip
        return Sides(*(old if one is None else one.numpy() for one, old in zip(stored, older, strict=True)))


def load(path: Where) -> Stored:
    """Read a model's file and check that its parts fit together, before anything uses them.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no model, from a newer version, or something in it is missing, or has another type, shape or range
        than it must have.
    """
    tensors, metadata = read(path)
    with damage(path):
        return _checked(tensors, metadata)


def _checked(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Stored:
    require("checkpoint" not in metadata, "it is a checkpoint: pass its folder to fit(checkpoint_dir=...)")
    missing = {"params", "history", "n_negatives", "batch_size", "skipped"} - metadata.keys()
    require(not missing, f"the header lacks {sorted(missing)}")
    require(isinstance(metadata["params"], dict), "its params are no mapping")
    check_history(metadata["history"])
    require(len(metadata["history"]) > 0, "its history is none")
    skipped = metadata["skipped"]
    require(isinstance(skipped, dict) and all(map(is_number, skipped.values())), "its skipped are no counts")
    for name in ("auto", "index"):
        require(isinstance(metadata.get(name, {}), dict | None), f"its {name} is no mapping")
    params = {"loss": "warp", **metadata["params"]}  # the only one, once
    for numbers in (params, metadata.get("auto", {})):
        for name in ("margin", "feature_weight"):
            if isinstance(numbers.get(name), list):  # JSON has no tuples
                numbers[name] = tuple(numbers[name])
    rowwise = params.get("rowwise_adagrad", False)
    user, item = _checked_tables(tensors, DTYPES[params.get("dtype", "float32")], rowwise)
    user_ids, item_ids = (unpack_ids(under(f"{kind}_ids.", tensors)) for kind in ("user", "item"))
    require(
        (len(user_ids), len(item_ids)) == (user[0], item[0]),
        f"there are {len(user_ids)} user_ids and {len(item_ids)} item_ids for tables of {user[0]} and {item[0]} rows",
    )
    networks = metadata.get("networks", {})
    require(isinstance(networks, dict), "its networks are no mapping")
    made = [options for options in networks.values() if options is not None]
    require(all(options["n_components"] == user[1] for options in made), "a network does not fit the tables")
    tags = (under(f"{kind}_feature_ids.", tensors) for kind in ("user", "item"))
    tag_ids: Sides[Ids | None] = Sides(*(unpack_ids(packed) if packed else None for packed in tags))
    packed, shape = under("user_items.", tensors), (user[0], item[0])
    matrix = unpack_csr(packed, shape, "user_items") if packed else sparse.csr_matrix(shape, dtype=np.float32)
    likes = tensors["item_likes"].numpy() if "item_likes" in tensors else likes_of_items(matrix)
    require(
        likes.dtype == np.int64 and likes.shape == (item[0],),
        f"tensor item_likes is {likes.dtype} {list(likes.shape)}; it must be int64 [{item[0]}]",
    )
    require(bool((likes >= 0).all()), "tensor item_likes holds negative counts")
    for name, n_rows in (("user_placed", user[0]), ("item_placed", item[0])):
        tensor = tensors.get(name, torch.zeros(n_rows, dtype=torch.bool, device="cpu"))
        require(
            tensor.dtype == torch.bool and tensor.shape == (n_rows,),
            f"tensor {name} is {tensor.dtype} {list(tensor.shape)}; it must be torch.bool [{n_rows}]",
        )
    for name, n_rows in (("user_last_seen", user[0]), ("item_last_seen", item[0])):
        tensor = tensors.get(name, torch.zeros(n_rows, dtype=torch.float64, device="cpu"))
        require(
            tensor.dtype == torch.float64 and tensor.shape == (n_rows,),
            f"tensor {name} is {tensor.dtype} {list(tensor.shape)}; it must be torch.float64 [{n_rows}]",
        )
    known = Interactions(matrix, user_ids, item_ids)
    # Older files do not say it.
    known.by_position = bool(metadata.get("by_position", are_positions(user_ids) and are_positions(item_ids)))
    return Stored(params, tensors, metadata, known, likes, tag_ids)


def _checked_tables(tensors: dict[str, Tensor], dtype: torch.dtype, rowwise: bool) -> tuple[torch.Size, torch.Size]:
    """Return the shapes of the users' and the items' table."""
    user, item = tensors["user"], tensors["item"]
    for name in TABLES:
        expected = torch.float32 if name.endswith("_state") else dtype
        require(
            tensors[name].dtype == expected and tensors[name].dim() == 2,
            f"tensor {name} is {tensors[name].dtype} of {tensors[name].dim()} dimensions; it must be {expected} of two",
        )
    require(
        user.shape[1] == item.shape[1],
        f"tensor user is {list(user.shape)} and item {list(item.shape)}: both need the same number of columns",
    )
    for name, table in (("user", user), ("item", item)):
        state, wanted = tensors[f"{name}_state"].shape, (len(table), 1 if rowwise else table.shape[1])
        require(state == wanted, f"tensor {name}_state is {list(state)}; it must be {list(wanted)}")
    return user.shape, item.shape


def _named(prefix: str, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`cmlfast.data.tensor_file.under`."""
    return {f"{prefix}.{name}": tensor for name, tensor in parts.items()}
