"""Valid arguments of every operator, and every way in which the tests make one of them wrong."""

import itertools
from functools import partial
from typing import Any, NamedTuple

import torch
from batches import make_batch
from torch import Tensor


def arguments_of(operator: str) -> dict[str, Any]:
    """Return valid arguments, by name."""
    batch = make_batch(4, 12, n_users=10, n_items=9)
    batch.users[0] = 0
    tables = {"user_vectors": batch.user_w, "item_vectors": batch.item_w}
    pairs = {"users": batch.users, "positives": batch.positives}
    sampling = {"indptr": batch.indptr, "indices": batch.indices, **pairs}
    generator = {"seed": 1, "offset": 2}
    n = {"n_negatives": 3}
    weights = {"user_w": batch.user_w, "item_w": batch.item_w}
    states = {"user_state": batch.user_state, "item_state": batch.item_state}
    optimizer = {"lr": 0.1, "eps": 1e-10, "max_norm": 1.0}
    negatives = torch.arange(36).reshape(12, 3) % 9
    hinge = {"margin": 0.5, "rank_weight": True}
    shared = torch.arange(7) + 1
    softmax = {"negatives": shared, "temperature": 0.5, "log_q": shared / 7, "metric": "dot", "decoupled": True}
    return {
        "sample_negatives": {**sampling, "n_items": 9, **n, **generator},
        "warp_hinge": {**tables, **pairs, "negatives": negatives, **hinge, "n_items": 9, "metric": "dot"},
        "warp_hinge_sampled": {**tables, **sampling, **n, **hinge, **generator, "metric": "dot"},
        "warp_hinge_backward": {
            "grad_loss": torch.ones(12),
            **tables,
            **pairs,
            "hardest": negatives[:, 0].clone(),
            "impostors": torch.arange(12) % 4,
            **n,
            "n_items": 9,
            "rank_weight": True,
            "metric": "dot",
        },
        "adagrad_clip_": {
            "weight": batch.item_w,
            "state": batch.item_state,
            "rows": batch.positives,
            "grads": torch.ones((12, 4)),
            **optimizer,
        },
        "cml_step_": {**weights, **states, **sampling, **n, **hinge, **optimizer, **generator},
        "cml_steps_": {
            **weights,
            **states,
            **sampling,
            **n,
            "margins": torch.tensor([0.5, 0.75, 0.25, 1.0, 0.5]),
            "lrs": torch.tensor([0.1, 0.05, 0.0, 0.2, 0.1]),
            "eps": 1e-10,
            "max_norm": 1.0,
            "rank_weight": True,
            "seed": 1,
            "offsets": torch.tensor([2, 3, 2, 2**40 + 7, 0]),
        },
        "topk": {
            "queries": batch.user_w,
            "items": batch.item_w,
            "k": 3,
            "seen_indptr": batch.indptr,
            "seen_indices": batch.indices,
            "metric": "dot",
        },
        "topk_among": {
            "queries": batch.user_w,
            "items": batch.item_w,
            "k": 3,
            "candidates": torch.arange(40).reshape(10, 4) % 10 - 1,
            "seen_indptr": batch.indptr,
            "seen_indices": batch.indices,
            "metric": "dot",
        },
        "softmax_weights_": {
            "products": torch.linspace(-3, 3, 84).reshape(12, 7),
            "offsets": torch.linspace(1, -1, 7),
            "negatives": torch.arange(7),
            "positives": batch.positives,
            "positive_logits": torch.linspace(0, 1, 12),
            "weights": torch.linspace(-1, 1, 12),
            "scale": 1.5,
        },
        "sampled_softmax": {**tables, **pairs, **softmax},
        "sampled_softmax_gradients": {**tables, **pairs, "weights": torch.linspace(-1, 1, 12), **softmax},
    }[operator]


class Fault(NamedTuple):
    """One wrong argument: made from the valid ones, refused with an error whose message has these parts."""

    operator: str
    argument: str
    change: Any  # a value, or a function of the valid value
    error: type[Exception]
    parts: tuple[str, ...]


def put(at: Any, value: float) -> Any:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[at] = value
        return tensor

    return change


STEPS = ("cml_step_", "cml_steps_")
SAMPLING = ("sample_negatives", "warp_hinge_sampled", *STEPS)
HINGE = ("warp_hinge", "warp_hinge_sampled", "warp_hinge_backward")
SEARCHES = ("topk", "topk_among")
SOFTMAX = ("sampled_softmax", "sampled_softmax_gradients")
TABLES = dict.fromkeys((*HINGE, *SOFTMAX), ("user_vectors", "item_vectors"))
TABLES |= dict.fromkeys(STEPS, ("user_w", "item_w"))
TABLES |= {"topk": ("queries", "items"), "topk_among": ("queries", "items")}
IDS = dict.fromkeys(SAMPLING, ("users", "positives", "indptr", "indices"))
IDS |= {"warp_hinge": ("users", "positives"), "warp_hinge_backward": ("users", "positives", "hardest", "impostors")}
IDS |= {"adagrad_clip_": ("rows",), "topk": ("seen_indptr", "seen_indices")}
IDS |= {"topk_among": ("seen_indptr", "seen_indices")}
IDS |= {"softmax_weights_": ("negatives", "positives")}
IDS |= dict.fromkeys(SOFTMAX, ("users", "positives", "negatives"))
FLOATS = {**TABLES, "adagrad_clip_": ("weight", "state", "grads")}
FLOATS |= {"sampled_softmax": (*FLOATS["sampled_softmax"], "log_q")}
FLOATS |= {"sampled_softmax_gradients": (*FLOATS["sampled_softmax"], "weights")}
FLOATS |= {"softmax_weights_": ("products", "offsets", "positive_logits", "weights")}
FLOATS["cml_step_"] += ("user_state", "item_state")
FLOATS["cml_steps_"] += ("user_state", "item_state", "margins", "lrs")
FLOATS["warp_hinge_backward"] += ("grad_loss",)
MANY = 2**31  # one more than a catalogue may hold


def faults() -> list[Fault]:
    result = []

    def add(operator: str, argument: str, change: Any, error: type[Exception], *parts: Any) -> None:
        result.append(Fault(operator, argument, change, error, (argument, *map(str, parts))))

    for operator, names in IDS.items():
        for name in names:
            add(operator, name, lambda ids: ids.double(), ValueError, "int64 or int32")
            add(operator, name, lambda ids: ids.short(), ValueError, "int64 or int32")
            add(operator, name, lambda ids: ids[None], ValueError, "shape [1, ", "1 dimension(s)")
            if operator != "adagrad_clip_":
                add(operator, name, lambda ids: ids.int(), ValueError, "different types")
    for operator, names in FLOATS.items():
        for name in names:
            stored = name == "weight" or name in TABLES.get(operator, ())
            add(operator, name, lambda table: table.long(), ValueError, "float32, bfloat16" if stored else "float32")
            if not stored:
                add(operator, name, lambda table: table.half(), ValueError, "float32")
                add(operator, name, lambda table: table.bfloat16(), ValueError, "float32")
            if not name.endswith("state"):
                add(operator, name, lambda table: table[None], ValueError, "shape [1, ", "dimension(s)")
    for operator, (users, items) in TABLES.items():
        for name, narrow in ((users, torch.float16), (items, torch.float16), (users, torch.bfloat16)):
            change = partial(Tensor.to, dtype=narrow)
            add(operator, name, change, ValueError, f"{users} and {items} are of different types; convert one")
        if operator not in STEPS:
            add(operator, users, lambda table: table[:, :3], ValueError, "3 columns", f"{items} has 4")
        if operator in HINGE + SOFTMAX:
            add(operator, "users", put(4, 100), IndexError, 100, "position 4")
            add(operator, "positives", put(4, 100), IndexError, 100, "position 4", "9 rows")
    for operator in SAMPLING + HINGE[:1] + HINGE[2:] + SOFTMAX:
        add(operator, "positives", lambda ids: ids[:-1], ValueError, "11 rows", "users has 12")
        for name, beyond in (("users", 10), ("positives", 9)):
            add(operator, name, put(0, -1), IndexError, -1, "position 0")
            add(operator, name, put(11, beyond), IndexError, beyond, "position 11")
            add(operator, name, put(11, -(2**62)), IndexError, -(2**62))
    for operator in (*SAMPLING, "warp_hinge_backward"):
        add(operator, "n_negatives", 0, ValueError, 0, "at least 1")
        add(operator, "n_negatives", -3, ValueError, -3)
    for operator in SAMPLING:
        add(operator, "indptr", lambda indptr: indptr[:0], ValueError, "empty")
        add(operator, "indptr", lambda indptr: indptr[:2], IndexError, "users holds", "1 users")
        add(operator, "indptr", put(1, -1), IndexError, "user 0", "range 0 to -1")
        add(operator, "indptr", put(0, -1), IndexError, "user 0", "range -1 to 9")
        add(operator, "indptr", put(1, 99), IndexError, "user 0 the range 0 to 99")
        add(operator, "indptr", put(1, 2**62), IndexError, f"range 0 to {2**62}")
        add(operator, "indices", lambda indices: indices[:5], IndexError, "of 5 indices")
    for operator in ("sample_negatives", "warp_hinge"):
        for wrong in (0, -1, MANY):
            add(operator, "n_items", wrong, ValueError, wrong, "1 to 2147483647")
    for operator in (*HINGE, *SOFTMAX, *SEARCHES):
        add(operator, "metric", "cosine", ValueError, "'cosine'", "'sqeuclidean' or 'dot'")
        add(operator, "metric", "", ValueError, "''")
    for operator in ("adagrad_clip_", *STEPS):
        rates = (("lr", -0.125), ("lr", -1.0), ("lr", float("nan")))
        for name, wrong in (*(rates if operator != "cml_steps_" else ()), ("eps", 0.0), ("eps", -1e-10)):
            add(operator, name, wrong, ValueError, f"{wrong:g}")
        for wrong in (0.0, -2.5, float("nan"), -1234567.0):
            add(operator, "max_norm", wrong, ValueError)
    add("warp_hinge", "negatives", lambda ids: ids[0], ValueError, "shape [3]", "2 dimension(s)")
    add("warp_hinge", "negatives", lambda ids: ids[:, :0], ValueError)
    add("warp_hinge", "negatives", lambda ids: ids[1:], ValueError, "11 rows")
    add("warp_hinge", "negatives", lambda ids: ids.int(), ValueError, "different types")
    add("warp_hinge", "negatives", lambda ids: ids.float(), ValueError, "int64 or int32")
    add("warp_hinge", "negatives", put((1, 2), 9), IndexError, 9, "position 5")
    add("warp_hinge", "negatives", put((1, 2), -2), IndexError, -2, "position 5")
    for at in (0, 1, 2):
        add("warp_hinge", "negatives", put((7, at), -1), IndexError, "-1", "row 7")
        add("warp_hinge", "negatives", put((7, [at, (at + 1) % 3]), -1), IndexError, "-1", "row 7")
    add("warp_hinge_backward", "grad_loss", lambda grad: grad[1:], ValueError, "11 rows")
    add("warp_hinge_backward", "hardest", lambda ids: ids[1:], ValueError, "11 rows")
    add("warp_hinge_backward", "impostors", lambda ids: ids[1:], ValueError, "11 rows")
    add("warp_hinge_backward", "hardest", put(3, 9), IndexError, 9, "position 3")
    add("warp_hinge_backward", "hardest", put(3, -2), IndexError, -2, "position 3")
    add("warp_hinge_backward", "impostors", put(3, 4), IndexError, 4, "position 3")
    add("warp_hinge_backward", "impostors", put(3, -1), IndexError, -1, "position 3")
    add("adagrad_clip_", "rows", put(0, -1), IndexError, -1, "position 0")
    add("adagrad_clip_", "rows", put(11, 9), IndexError, 9, "position 11", "9 rows")
    add("adagrad_clip_", "grads", lambda grads: grads[1:], ValueError, "11 rows")
    add("adagrad_clip_", "grads", lambda grads: grads[:, 1:], ValueError, "3 columns")
    add("adagrad_clip_", "state", lambda state: state[1:], ValueError, "shape [8, 4]", "[9, 4]")
    add("adagrad_clip_", "state", lambda state: state[0], ValueError, "shape [4]", "[9, 4]")
    for operator, name in itertools.product(STEPS, ("user_state", "item_state")):
        add(operator, name, lambda state: state[:, 1:], ValueError, ", 3]", ", 4], or one column")
        add(operator, name, lambda state: state[:, 0], ValueError, ", 4], or one column")
        add(operator, name, lambda state: state[:-1, :1], ValueError, ", 1]", ", 4], or one column")
    for wrong in (-0.125, float("nan"), float("inf")):
        add("cml_steps_", "lrs", put(3, wrong), ValueError, f"{wrong:g} at position 3", "finite and not negative")
    for name in ("margins", "offsets"):
        add("cml_steps_", name, lambda numbers: numbers[1:], ValueError, f"{name} has 4 entries and lrs has 5")
    add("cml_steps_", "offsets", lambda offsets: offsets.int(), ValueError, "int64")
    add("cml_steps_", "offsets", lambda offsets: offsets.float(), ValueError, "int64")
    add("cml_steps_", "offsets", lambda offsets: offsets[None], ValueError, "shape [1, 5]", "1 dimension(s)")
    add("cml_steps_", "lrs", lambda rates: rates[0], ValueError, "shape []", "1 dimension(s)")
    for operator in SOFTMAX:
        add(operator, "negatives", put(3, -1), IndexError, -1, "position 3", "9 rows")
        add(operator, "negatives", put(6, 9), IndexError, 9, "position 6", "9 rows")
        add(operator, "log_q", lambda log_q: log_q[1:], ValueError, "log_q has 6", "negatives has 7")
        for wrong in (0.0, -0.5, 1e-40, 1e39, float("inf"), float("nan")):
            add(operator, "temperature", wrong, ValueError, f"temperature is {wrong:g}", "positive and finite")
    add("sampled_softmax_gradients", "weights", lambda weights: weights[1:], ValueError, "11 rows", "users has 12")
    for name in ("positives", "positive_logits", "weights"):
        add("softmax_weights_", name, lambda each: each[1:], ValueError, f"{name} has 11 entries", "has 12 rows")
    for name in ("negatives", "offsets"):
        add("softmax_weights_", name, lambda each: each[1:], ValueError, f"{name} has 6 entries", "has 7 columns")
    for wrong in (float("nan"), float("-inf"), 1e39):
        add("softmax_weights_", "scale", wrong, ValueError, f"scale is {wrong:g}", "finite")
    for name, at in (("negatives", 6), ("positives", 11)):
        for beyond in (-1, -(2**62), 2**31 - 1, 2**32):
            add("softmax_weights_", name, put(at, beyond), IndexError, beyond, f"position {at}", "2147483647 rows")
    for operator in SEARCHES:
        add(operator, "k", 0, ValueError, 0, "at least 1")
        add(operator, "k", -5, ValueError, -5)
        add(operator, "seen_indptr", None, ValueError, "together")
        add(operator, "seen_indices", None, ValueError, "together")
        add(operator, "seen_indptr", lambda indptr: indptr[:-1], ValueError, "10 entries", "10 queries need 11")
        add(operator, "seen_indptr", put(10, 10**9), IndexError, "query 9", f"to {10**9}")
        add(operator, "seen_indptr", put(0, -1), IndexError, "query 0")
        add(operator, "seen_indices", put(0, -1), IndexError, -1, "position 0")
        add(operator, "seen_indices", put(2, 9), IndexError, 9, "position 2", "9 rows")
    add("topk_among", "candidates", lambda ids: ids[0], ValueError, "shape [4]", "2 dimension(s)")
    add("topk_among", "candidates", lambda ids: ids[1:], ValueError, "9 rows", "queries has 10")
    add("topk_among", "candidates", lambda ids: ids.int(), ValueError, "different types")
    add("topk_among", "candidates", lambda ids: ids.float(), ValueError, "int64 or int32")
    add("topk_among", "candidates", put((1, 2), -2), IndexError, -2, "position 6", "9 rows")
    add("topk_among", "candidates", put((9, 3), 9), IndexError, 9, "position 39", "9 rows")
    return result
