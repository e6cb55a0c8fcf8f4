"""The model in plain Python and float64, straight from its definition; it shares no code with the package."""

import math
from typing import NamedTuple

import numpy as np

WORD = 0xFFFFFFFF


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> list[int]:
    """Philox-4x32-10 on Python's integers."""
    k0, k1 = key
    x = list(counter)
    for _ in range(10):
        left, right = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(right >> 32) ^ x[1] ^ k0, right & WORD, (left >> 32) ^ x[3] ^ k1, left & WORD]
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return x


def draw(liked: set[int], user: int, positive: int, n_items: int, n: int, seed: int, offset: int) -> list[int]:
    """Draw from the list of the items that a user has not liked."""
    others = [item for item in range(n_items) if item not in liked]
    key = (seed & WORD, (seed >> 32) & WORD)
    words: list[int] = []
    for block in range(math.ceil(n / 4)):
        words += philox(key, (user & WORD, positive & WORD, offset & WORD, block))
    return [others[word * len(others) >> 32] if others else -1 for word in words[:n]]


class Pair(NamedTuple):
    """What a pair comes to."""

    loss: float
    hardest: int
    impostors: int
    weight: float
    safety: float  # how far rounding must move a distance to change a decision


def distance(left: np.ndarray, right: np.ndarray, metric: str) -> float:
    if metric == "dot":
        return -float(np.sum(left * right))
    return float(np.sum((left - right) ** 2))


def pair(
    u: np.ndarray,
    items: np.ndarray,
    positive: int,
    negatives: list[int],
    margin: float,
    n_items: int,
    rank_weight: bool,
    metric: str,
) -> Pair:
    """Evaluate one pair."""
    if negatives[0] < 0:
        return Pair(0.0, -1, 0, 0.0, math.inf)
    to_positive = distance(u, items[positive], metric)
    to_item = {item: distance(u, items[item], metric) for item in negatives}
    hinges = [margin + to_positive - to_item[item] for item in negatives]
    impostors = sum(hinge > 0 for hinge in hinges)
    hardest = min(negatives, key=to_item.__getitem__)  # the first of equals
    weight = math.log(math.floor(n_items * impostors / len(negatives)) + 1) if rank_weight else 1.0
    gaps = [abs(hinge) for hinge in hinges]
    gaps += [to_item[item] - to_item[hardest] for item in negatives if item != hardest]
    loss = weight * max(0.0, margin + to_positive - to_item[hardest])
    return Pair(loss, hardest, impostors, weight, min(gaps))


class Softmax(NamedTuple):
    """What a pair's logits come to; `weights` are the negatives' shares of the sum, `pull` is their sum."""

    largest: float
    total: float
    pull: float
    weights: list[float]


def softmax(positive: float, negatives: list[float], decoupled: bool) -> Softmax:
    """Weigh negatives by their logits, -inf for those that do not count."""
    logits = negatives if decoupled else [*negatives, positive]
    largest = max(logits, default=-math.inf)
    if largest == -math.inf:
        return Softmax(largest, 0.0, 0.0, [0.0] * len(negatives))
    total = math.fsum(math.exp(logit - largest) for logit in logits)
    weights = [math.exp(logit - largest) / total for logit in negatives]
    return Softmax(largest, total, math.fsum(weights), weights)


def gradients(
    users: np.ndarray, items: np.ndarray, pairs: list[tuple[int, int, Pair]], metric: str, above: list[float]
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Return the gradient of the sum of above x loss in every row that an active pair names."""
    by_user: dict[int, np.ndarray] = {}
    by_item: dict[int, np.ndarray] = {}
    for (i, j, result), factor in zip(pairs, above, strict=True):
        if result.impostors == 0:
            continue
        u, v_j, v_k = users[i], items[j], items[result.hardest]
        of_positive = -u if metric == "dot" else 2 * (v_j - u)  # d d(i, j) / d v_j
        of_negative = u if metric == "dot" else -2 * (v_k - u)  # -d d(i, k) / d v_k
        of_user = v_k - v_j if metric == "dot" else 2 * (u - v_j) - 2 * (u - v_k)
        for table, row, part in (
            (by_user, i, of_user),
            (by_item, j, of_positive),
            (by_item, result.hardest, of_negative),
        ):
            table[row] = table.get(row, 0.0) + factor * result.weight * part
    return by_user, by_item


def adagrad_clip(
    weight: np.ndarray, state: np.ndarray, grads: dict[int, np.ndarray], lr: float, eps: float, max_norm: float
) -> None:
    """Update rows in place, element by element; a state of one column is that of whole rows."""
    rowwise = state.shape != weight.shape
    for row, grad in grads.items():
        if rowwise:
            state[row] += math.fsum(g * g for g in grad.tolist()) / len(grad)
        for e, g in enumerate(grad.tolist()):
            if not rowwise:
                state[row, e] += g * g
            weight[row, e] -= lr * g / (math.sqrt(state[row, 0 if rowwise else e]) + eps)
        norm = math.sqrt(math.fsum(y * y for y in weight[row].tolist()))
        weight[row] *= min(1.0, max_norm / norm) if norm > 0 else 1.0
