"""Argument checks of the reference backend; the messages are those of ``csrc/checks.h``."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_ITEMS = 2**31 - 1
MAX_PAIRS = MAX_ITEMS // 3  # of a batch: a pair has three rows
MIN_FLOAT, MAX_FLOAT = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max  # kernels compute in float32
METRICS = ("sqeuclidean", "dot")
STORAGE = (torch.float32, torch.bfloat16, torch.float16)  # of tables; all else is float32


def check_value(good: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless ``good``."""
    if not good:
        raise ValueError(message)


def check_range(ids: Tensor, name: str, low: int, n_rows: int, table: str) -> None:
    """Raise ``IndexError`` if an id lies outside ``[low, n_rows)``."""
    bad = ((ids < low) | (ids >= n_rows)).flatten().nonzero()
    if len(bad):
        at = int(bad[0])
        raise IndexError(f"{name} holds {int(ids.flatten()[at])} at position {at}, but {table} has {n_rows} rows")


def check_ids(like: Tensor, like_name: str, **named: Tensor) -> None:
    """Require one integer type, int64 or int32, and one dimension for all ``named`` tensors."""
    for name, tensor in {like_name: like, **named}.items():
        check_value(
            tensor.dtype in (torch.int64, torch.int32),
            f"{name} must hold int64 or int32 ids; convert it with .to(torch.int64)",
        )
        check_value(
            tensor.dtype == like.dtype,
            f"{name} and {like_name} hold ids of different types; use int64 (or int32) for all of them",
        )
        check_dim(tensor, name, 1)


def check_dim(tensor: Tensor, name: str, dim: int) -> None:
    """Require ``dim`` dimensions."""
    check_value(tensor.dim() == dim, f"{name} has shape {list(tensor.shape)}; it must have {dim} dimension(s)")


def check_same_length(tensor: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """Require one row for each pair."""
    check_value(
        len(tensor) == len(other),
        f"{name} has {len(tensor)} rows and {other_name} has {len(other)}; both need one for each pair",
    )


def check_floats(tables: dict[str, Tensor], **named: Tensor) -> None:
    """Require tables of one storage type, and float32 for the rest.

    The reference takes float64 throughout as well, for ``gradcheck``.
    """
    wide = all(tensor.dtype == torch.float64 for tensor in [*tables.values(), *named.values()])
    for name, table in tables.items():
        check_value(
            wide or table.dtype in STORAGE,
            f"{name} must be float32, bfloat16 or float16; convert it with .float()",
        )
    check_value(
        len({table.dtype for table in tables.values()}) <= 1,
        f"{' and '.join(tables)} are of different types; convert one of them",
    )
    for name, tensor in named.items():
        check_value(wide or tensor.dtype == torch.float32, f"{name} must be float32; convert it with .float()")


def check_tables(users: Tensor, user_name: str, items: Tensor, item_name: str) -> None:
    """Check two embedding tables of one space."""
    check_dim(users, user_name, 2)
    check_dim(items, item_name, 2)
    check_floats({user_name: users, item_name: items})
    check_value(
        users.shape[1] == items.shape[1],
        f"{user_name} has {users.shape[1]} columns and {item_name} has {items.shape[1]}; "
        "users and items live in one space, so both need the same",
    )
    check_value(
        len(items) <= MAX_ITEMS,
        f"{item_name} has {len(items)} rows; at most {MAX_ITEMS} items can be drawn from",
    )
    check_n_rows(users, user_name)


def check_n_rows(tensor: Tensor, name: str) -> None:
    """Require rows, or positions of a batch, that the kernels can tell apart: they group them as 32-bit numbers."""
    check_value(len(tensor) <= MAX_ITEMS, f"{name} has {len(tensor)} rows; at most {MAX_ITEMS} can be told apart")


def check_n_pairs(users: Tensor) -> None:
    """Require a batch whose rows can be told apart."""
    check_value(
        len(users) <= MAX_PAIRS,
        f"users has {len(users)} pairs; at most {MAX_PAIRS} can be in one batch, so split it",
    )


def check_state(state: Tensor, state_name: str, weight: Tensor, weight_name: str) -> None:
    """Require an accumulator of its table's shape, or of a number for each row."""
    check_floats({weight_name: weight}, **{state_name: state})
    check_value(
        state.shape in (weight.shape, (len(weight), 1)),
        f"{state_name} has shape {list(state.shape)}; it must have the shape of {weight_name}, {list(weight.shape)}, "
        "or one column",
    )


def check_n_negatives(n_negatives: int) -> None:
    """Require at least one negative."""
    check_value(n_negatives >= 1, f"n_negatives is {n_negatives}; it must be at least 1")


def check_n_items(n_items: int) -> None:
    """Require a catalogue that one 32-bit word can draw from."""
    check_value(1 <= n_items <= MAX_ITEMS, f"n_items is {n_items}; it must lie in 1 to {MAX_ITEMS}")


def check_optimizer(lr: float, eps: float, max_norm: float) -> None:
    """Check the numbers of an AdaGrad step."""
    check_value(0 <= lr <= MAX_FLOAT, f"lr is {lr:g}; it must be finite and not negative")
    check_value(eps >= MIN_FLOAT, f"eps is {eps:g}; it must be positive, for a row's first step may divide by it")
    check_value(max_norm >= MIN_FLOAT, f"max_norm is {max_norm:g}; it must be positive")


def check_step_numbers(margins: Tensor, lrs: Tensor, offsets: Tensor) -> None:
    """Check the numbers that steps have of their own."""
    check_dim(lrs, "lrs", 1)
    for name, numbers in {"margins": margins, "offsets": offsets}.items():
        check_dim(numbers, name, 1)
        check_value(
            len(numbers) == len(lrs),
            f"{name} has {len(numbers)} entries and lrs has {len(lrs)}; both need one for each step",
        )
    check_floats({}, margins=margins, lrs=lrs)
    check_value(offsets.dtype == torch.int64, "offsets must be int64; convert it with .to(torch.int64)")
    check_value(len(lrs) >= 1, "lrs is empty; there must be at least one step")
    for at, lr in enumerate(lrs.tolist()):
        check_value(0 <= lr <= MAX_FLOAT, f"lrs holds {lr:g} at position {at}; each must be finite and not negative")


def check_numbers(**named: Tensor) -> None:
    """Check numbers of a step that are tensors, of which its ``offset`` is an integer."""
    for name, number in named.items():
        check_dim(number, name, 0)
    if "offset" in named:
        whole = not named["offset"].is_floating_point()
        check_value(whole, "offset must be int64; convert it with .to(torch.int64)")


def check_metric(metric: str) -> None:
    """Require a known metric."""
    check_value(metric in METRICS, f"metric is '{metric}'; it must be 'sqeuclidean' or 'dot'")


def check_csr_rows(
    indptr: Tensor, indices: Tensor, rows: Tensor, indptr_name: str, indices_name: str, row_name: str
) -> None:
    """Require that ``rows`` name valid ranges of a CSR matrix."""
    begin, end = indptr[rows.long()], indptr[rows.long() + 1]
    bad = ((begin < 0) | (begin > end) | (end > len(indices))).nonzero()
    if len(bad):
        at = int(bad[0])
        raise IndexError(
            f"{indptr_name} gives {row_name} {int(rows[at])} the range {int(begin[at])} to {int(end[at])} "
            f"of {len(indices)} indices; it must ascend from 0 to len({indices_name})"
        )


def check_sampling(
    indptr: Tensor, indices: Tensor, users: Tensor, positives: Tensor, n_items: int, n_negatives: int
) -> None:
    """Check the arguments that every sampling operator takes."""
    check_ids(users, "users", positives=positives, indptr=indptr, indices=indices)
    check_value(len(indptr) >= 1, "indptr is empty; a CSR matrix of n users has n + 1 entries")
    check_same_length(positives, "positives", users, "users")
    check_n_pairs(users)
    check_n_items(n_items)
    check_n_negatives(n_negatives)
    n_users = len(indptr) - 1
    bad = ((users < 0) | (users >= n_users)).nonzero()
    if len(bad):
        at = int(bad[0])
        raise IndexError(f"users holds {int(users[at])} at position {at}, but indptr describes {n_users} users")
    check_csr_rows(indptr, indices, users, "indptr", "indices", "user")


def check_in_place(changed: dict[str, Tensor], read: dict[str, Tensor]) -> None:
    """Require that what changes in place lies nowhere twice, and nowhere where another argument lies."""
    names, tensors = zip(*(changed | read).items(), strict=True)
    for i, name in enumerate(changed):
        _check_each_element_once(tensors[i], name)
        for j in range(i + 1, len(names)):
            check_value(
                not _may_share(tensors[i], tensors[j]),
                f"{name} and {names[j]} share memory, and {name} changes in place; clone one of them",
            )


def _check_each_element_once(tensor: Tensor, name: str) -> None:
    (inner, n_inner), (outer, n_outer) = sorted(zip(tensor.stride(), tensor.shape, strict=True), key=lambda one: one[0])
    apart = (n_inner <= 1 or inner >= 1) and (n_outer <= 1 or outer > (n_inner - 1) * inner)
    check_value(
        tensor.numel() <= 1 or apart,
        f"{name} changes in place, but some of its elements lie at one place in memory (its strides are "
        f"{list(tensor.stride())}); clone it first",
    )


def _may_share(one: Tensor, other: Tensor) -> bool:
    if one.numel() == 0 or other.numel() == 0 or one.device != other.device:
        return False
    (begin, end), (other_begin, other_end) = _extent(one), _extent(other)
    if end <= other_begin or other_end <= begin:
        return False
    size = one.element_size()
    alike = one.dim() == other.dim() == 2 and size == other.element_size() and one.stride() == other.stride()
    if not alike or one.stride(1) != 1 or one.stride(0) < 1 or (other_begin - begin) % size:
        return True
    # Some columns, or every second row, of one matrix: they part where no column of one is one of the other's.
    width = one.stride(0)
    apart = (other_begin - begin) // size % width
    return apart < one.shape[1] or apart + other.shape[1] > width


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Return the first byte, and the one behind the last."""
    last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()


def check_softmax_weights(
    products: Tensor,
    offsets: Tensor,
    negatives: Tensor,
    positives: Tensor,
    positive_logits: Tensor,
    weights: Tensor,
    scale: float,
) -> None:
    """Check the arguments of ``softmax_weights_``."""
    check_dim(products, "products", 2)
    check_ids(negatives, "negatives", positives=positives)
    for name, floats in {"offsets": offsets, "positive_logits": positive_logits, "weights": weights}.items():
        check_dim(floats, name, 1)
    check_floats({}, products=products, offsets=offsets, positive_logits=positive_logits, weights=weights)
    for name, of_pairs in {"positives": positives, "positive_logits": positive_logits, "weights": weights}.items():
        check_value(
            len(of_pairs) == len(products),
            f"{name} has {len(of_pairs)} entries and products has {len(products)} rows; both need one for each pair",
        )
    for name, of_negatives in {"offsets": offsets, "negatives": negatives}.items():
        check_value(
            len(of_negatives) == products.shape[1],
            f"{name} has {len(of_negatives)} entries and products has {products.shape[1]} columns; "
            "both need one for each negative",
        )
    check_value(abs(scale) <= MAX_FLOAT, f"scale is {scale:g}; it must be finite")
    check_in_place(
        {"products": products},
        {
            "offsets": offsets, "negatives": negatives, "positives": positives, "positive_logits": positive_logits,
            "weights": weights,
        },
    )  # fmt: skip
    check_range(negatives, "negatives", 0, MAX_ITEMS, "an item table")
    check_range(positives, "positives", 0, MAX_ITEMS, "an item table")
