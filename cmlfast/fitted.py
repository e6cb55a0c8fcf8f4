"""What a fitted model is, whoever fitted or loaded it, and the file that keeps it."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import nn

from cmlfast import backends, persistence
from cmlfast.alignment import without_pairs
from cmlfast.estimator import Estimator
from cmlfast.interactions import Interactions
from cmlfast.networks import pack_network, unpack_network
from cmlfast.rarity import Counts
from cmlfast.recommender import Recommender
from cmlfast.served import Served
from cmlfast.settings import Settings, resolve
from cmlfast.training import Record, Tables

Self = TypeVar("Self", bound="FittedModel")


class FittedModel(Recommender, Estimator):
    """Holds what fitting found, checks it against the parameters, saves and loads it."""

    n_components: int
    dtype: str
    device: str
    keep_user_items: bool
    item_likes_: Counts
    history_: list[Record]
    n_negatives_: int
    batch_size_: int
    seed_: int
    skipped_: dict[str, int]
    _tables: Tables
    _without_network: list[str]  # networks that the model's file has and the model has not

    def _settings(self) -> Settings:
        """Return what the model was fitted with, checked."""
        params = {**self.get_params(), "random_state": self.seed_}
        resolved = {"n_negatives": self.n_negatives_, "batch_size": self.batch_size_}
        params |= {name: value for name, value in resolved.items() if params[name] == "auto"}
        return resolve(params, 1, *self._known.shape)

    def _check_n_components(self) -> None:
        if self.n_components != self.user_embedding_.shape[1]:
            raise ValueError(
                f"n_components is {self.n_components}, but the model has {self.user_embedding_.shape[1]}; set it back, "
                "or fit anew"
            )

    def _check_unchanged(self) -> None:
        """Raise ``ValueError`` if a parameter that decides what the tables are was changed after they were made."""
        self._check_n_components()
        if self.dtype != self._stored_dtype():
            raise ValueError(
                f"dtype is {self.dtype!r}, but the model has tables of {self._stored_dtype()!r}; set it back, or fit "
                "anew"
            )

    def _adopt(
        self,
        tables: Tables,
        known: Interactions,
        item_likes: Counts,
        settings: Settings,
        history: list[Record],
        skipped: dict[str, int],
        keep: bool,
        by_features: bool,
    ) -> None:
        """Become a fitted model, all at once."""
        self._tables = tables
        self._served = Served(tables, item_likes, by_features)
        self._known = known if keep else without_pairs(known)
        self.user_embedding_, self.item_embedding_ = tables.user, tables.item
        self.item_likes_ = item_likes
        self.user_ids_, self.item_ids_ = known.user_ids, known.item_ids
        self.user_items_ = known if keep else None
        self.history_ = history
        self.n_negatives_, self.batch_size_, self.seed_ = (
            settings.n_negatives,
            settings.batch_size,
            settings.seed,
        )
        self.skipped_ = skipped

    def _stored_dtype(self) -> str:
        """Return the ``dtype`` that the model was fitted with."""
        return str(self.user_embedding_.dtype).removeprefix("torch.")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one safetensors file, in one step.

        Networks of your own are stored by their ``state_dict`` alone.

        Raises
        ------
        NotFittedError, OSError
            Before ``fit``; if the file cannot be written. A file that was there is then unchanged.
        ValueError
            If a parameter was changed to what no model can have, or the model was loaded without its own network, which
            would be lost.
        """
        self._check_fitted()
        self._check_n_components()
        self._settings()
        if self._without_network:
            raise ValueError(
                f"this model was loaded without its own {' and '.join(self._without_network)}, which would be missing "
                "in the new file; pass it to load"
            )
        tensors = dict(zip(("user", "item", "user_state", "item_state"), self._tables.all(), strict=True))
        for name, ids in (("user_ids", self.user_ids_), ("item_ids", self.item_ids_)):
            tensors |= {f"{name}.{part}": tensor for part, tensor in persistence.pack_ids(ids).items()}
        tensors["item_likes"] = torch.from_numpy(self.item_likes_)
        if self.user_items_ is not None:
            packed = persistence.pack_csr(self.user_items_.matrix)
            tensors |= {f"user_items.{part}": tensor for part, tensor in packed.items()}
        for name, tags in (("user_feature_ids", self.user_feature_ids_), ("item_feature_ids", self.item_feature_ids_)):
            if tags is not None:
                tensors |= {f"{name}.{part}": tensor for part, tensor in persistence.pack_ids(tags).items()}
        networks = {}
        for kind, network in (("user_network", self.user_network_), ("item_network", self.item_network_)):
            if network is not None:
                parts, networks[kind] = pack_network(network)
                tensors |= {f"{kind}.{name}": tensor for name, tensor in parts.items()}
        kept = {
            "random_state": self.seed_,
            "device": str(self.device),
            "dtype": self._stored_dtype(),
            "keep_user_items": self.user_items_ is not None,
        }
        params = {name: value for name, value in self.get_params().items() if not name.endswith("_network")}
        metadata = {
            "params": {**params, **kept},
            "networks": networks,
            "history": self.history_,
            "n_negatives": self.n_negatives_,
            "batch_size": self.batch_size_,
            "skipped": self.skipped_,
        }
        persistence.write(path, tensors, metadata)

    @classmethod
    def load(
        cls: type[Self],
        path: str | os.PathLike[str],
        device: str = "cpu",
        *,
        item_network: nn.Module | None = None,
        user_network: nn.Module | None = None,
    ) -> Self:
        """Read a model that :meth:`save` wrote; runs no code from the file.

        Parameters
        ----------
        path : str or path
            The file.
        device : str
            Where the model shall live, as in the constructor.
        item_network, user_network : nn.Module, optional
            If the model was fitted with networks of your own: such networks, to take up the stored weights. Without
            them the model serves all but new items (or users) with features, and cannot be saved.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is no model, damaged, or from a newer version; if a network does not fit.
        """
        tensors, metadata = persistence.read(path)
        parts = persistence.checked_parts(path, tensors, metadata)
        own = {"item_network": item_network, "user_network": user_network}
        model = cls(**{**parts.params, **own, "device": device})
        _, place = backends.choose(model.backend, device)
        tables = Tables(*(table.to(place) for table in parts.tables))
        resolved = {"n_negatives": metadata["n_negatives"], "batch_size": metadata["batch_size"]}
        settings = resolve({**model.get_params(), **resolved}, 1, *parts.matrix.shape)
        known = Interactions(parts.matrix, parts.user_ids, parts.item_ids)
        stored = metadata.get("networks", {})
        model._adopt(
            tables, known, parts.item_likes, settings, metadata["history"], metadata["skipped"], model.keep_user_items,
            "item_network" in stored,
        )  # fmt: skip
        model._without_network = []
        for kind, network in own.items():
            fitted = unpack_network(stored.get(kind), tensors, kind, network)
            setattr(model, f"{kind}_", fitted and fitted.to(place))
            if fitted is None and kind in stored:
                model._without_network.append(kind)
        model.user_feature_ids_, model.item_feature_ids_ = parts.user_feature_ids, parts.item_feature_ids
        return model
