"""The pinned arithmetic in torch: sums, distances, random words, row updates and rounding that every backend repeats.

A sum over r elements has 32 virtual lanes: element e goes to lane e % 32, lanes add their elements in ascending order,
then lanes fold by halves. No operation is fused with another. Tables of 16 bits are computed with in float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LANES = 32  # element e of a row belongs to lane e % 32
BATCH_RUN = 1024  # losses of a batch that are summed before those sums are
RUN_LENGTH = 64  # occurrences of a row whose gradients add up before the partial sums do
MASK = 0xFFFFFFFF
# Of exp, see csrc/softmax_math.h; each number is one of float32.
LOG2_E, ROUNDER, ROUNDER_BITS = 1.44269504088896341, 12582912.0, 0x4B400000
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LEAST_EXPONENT = -87.0
NARROW = (torch.bfloat16, torch.float16)


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type that tables of a type are computed with."""
    return torch.float32 if dtype in NARROW else dtype


def widen(rows: Tensor) -> Tensor:
    """Return rows of a table as they are computed with; exact."""
    return rows.to(wide_type(rows.dtype))


def lane_sum(values: Tensor) -> Tensor:
    """Sum over the last dimension in the pinned order: lanes ascending, then folds by halves.

    Parameters
    ----------
    values : Tensor
        Shape [..., r].

    Returns
    -------
    Tensor
        Shape [...].
    """
    r = values.shape[-1]
    padded = torch.nn.functional.pad(values, (0, -r % LANES))
    blocks = padded.reshape(*values.shape[:-1], padded.shape[-1] // LANES, LANES)  # [..., ceil(r / 32), 32]
    lanes = values.new_zeros((*values.shape[:-1], LANES))
    for block in blocks.unbind(-2):
        lanes = lanes + block
    half = LANES // 2
    while half:
        lanes = lanes[..., :half] + lanes[..., half : 2 * half]
        half //= 2
    return lanes[..., 0]


def batch_sum(values: Tensor) -> Tensor:
    """Sum the values of a batch, [N]: runs of `BATCH_RUN` in lanes, then the runs' sums in lanes."""
    runs = torch.nn.functional.pad(values, (0, -len(values) % BATCH_RUN)).reshape(-1, BATCH_RUN)
    return lane_sum(lane_sum(runs))


def distances(left: Tensor, right: Tensor, metric: str) -> Tensor:
    """Squared distances (or minus dot products) between the last dimensions of two tensors that broadcast."""
    if metric == "dot":
        return -lane_sum(left * right)
    difference = left - right
    return lane_sum(difference * difference)


def rank_weights(n_items: int, n_negatives: int, rank_weight: bool) -> list[float]:
    """``log(floor(J M / U) + 1)`` for M = 0 .. U (paper, section 3.2), or ones."""
    if not rank_weight:
        return [1.0] * (n_negatives + 1)
    return [math.log(n_items * m // n_negatives + 1) for m in range(n_negatives + 1)]


def philox(seed: int, counter: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Philox-4x32-10 (Salmon et al., SC 2011).

    Parameters
    ----------
    seed : int
        The key: its low and high 32 bits.
    counter : tuple of four int64 tensors
        The counter's words, that broadcast to one shape [...].

    Returns
    -------
    Tensor
        Shape [..., 4], int64, the four 32-bit output words.
    """
    c0, c1, c2, c3 = torch.broadcast_tensors(*(word & MASK for word in counter))
    key0, key1 = seed & MASK, (seed >> 32) & MASK
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2  # wrap around in int64: the bits are right
        c0, c1, c2, c3 = (
            ((product1 >> 32) & MASK) ^ c1 ^ key0,
            product1 & MASK,
            ((product0 >> 32) & MASK) ^ c3 ^ key1,
            product0 & MASK,
        )
        key0, key1 = (key0 + 0x9E3779B9) & MASK, (key1 + 0xBB67AE85) & MASK
    return torch.stack((c0, c1, c2, c3), dim=-1)


def exp_not_positive(x: Tensor) -> Tensor:
    """Return exp of numbers that are not positive; of float32, as ``csrc/softmax_math.h`` computes it.

    exp(x) = 2^n exp(f) with n = x / ln 2 rounded to an integer; below -87 it counts as 0.
    """
    if x.dtype != torch.float32:
        return x.exp()
    rounded = x * LOG2_E + ROUNDER  # rounds to an integer, to even on a tie
    n = rounded - ROUNDER
    f = (x - n * LN2_HIGH) - n * LN2_LOW
    terms = torch.full_like(f, EXP_TERMS[0])
    for term in EXP_TERMS[1:]:
        terms = terms * f + term
    power = ((rounded.view(torch.int32) - ROUNDER_BITS + 127) << 23).view(torch.float32)
    return torch.where(x < LEAST_EXPONENT, 0, (((terms * f) * f + f) + 1) * power)


def sum_by_row(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Coalesce rows: ascending position, partial sums every ``RUN_LENGTH`` occurrences, partial sums in order.

    Parameters
    ----------
    rows : Tensor
        Shape [P], int64 row ids that may repeat.
    values : Tensor
        Shape [P, r].

    Returns
    -------
    distinct : Tensor
        Shape [D], the distinct rows, ascending.
    totals : Tensor
        Shape [D, r].
    """
    distinct, group, counts = torch.unique(rows, return_inverse=True, return_counts=True)
    order = torch.argsort(group, stable=True)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(rows)  # [P], which occurrence of its row a position is
    rank[order] = torch.arange(len(rows), device=rows.device) - starts[group[order]]
    runs = -(-counts // RUN_LENGTH)  # [D]
    first_run = runs.cumsum(0) - runs
    run = first_run[group] + rank // RUN_LENGTH  # [P]

    parts = values.new_zeros((int(runs.sum()), values.shape[1]))
    for step in range(min(RUN_LENGTH, int(counts.max()) if len(counts) else 0)):
        now = rank % RUN_LENGTH == step
        parts[run[now]] += values[now]  # no run twice, so plain indexing adds each
    totals = values.new_zeros((len(distinct), values.shape[1]))
    for step in range(int(runs.max()) if len(runs) else 0):
        now = runs > step
        totals[now] += parts[first_run[now] + step]
    return distinct, totals


def pair_gradients(
    factor: Tensor,  # [n]
    u: Tensor,  # [n, r]
    v_positive: Tensor,  # [n, r]
    v_negative: Tensor,  # [n, r]
    metric: str,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the users' rows [n, r] and of the positives' and negatives' [n, 2, r]."""
    factor = factor[:, None]
    by_user = factor * (v_negative - v_positive)
    if metric == "dot":
        return by_user, torch.stack((factor * -u, factor * u), dim=1)
    return by_user, torch.stack((factor * (v_positive - u), factor * (u - v_negative)), dim=1)


def sqrt(values: Tensor) -> Tensor:
    """Correctly rounded square root: torch's own float32 root is off by one bit in some 0.7% of cases with MKL."""
    return values.double().sqrt().to(values.dtype)


def update_rows(weight: Tensor, state: Tensor, gradient: Tensor, lr: float, eps: float, max_norm: float) -> Tensor:
    """Return the rows after AdaGrad and clip; ``state`` changes in place: [D, r], or row-wise [D, 1]."""
    squares = gradient * gradient  # [D, r]
    if state.shape != squares.shape:
        squares = lane_sum(squares)[:, None] / torch.full_like(state, squares.shape[1])  # their mean, [D, 1]
    state += squares
    weight = weight - (lr * gradient) / (sqrt(state) + eps)
    norm = sqrt(lane_sum(weight * weight))[:, None]
    # torch divides a number by a tensor as number * reciprocal, which rounds twice
    return torch.where(norm > max_norm, weight * (torch.full_like(norm, max_norm) / norm), weight)


def rounding_words(rows: Tensor, r: int, seed: int, offset: int, table: int) -> Tensor:
    """Return the random words that round rows [D] of a table (0: users, 1: items), as int64 [D, r].

    Element e takes word e % 4 of block e / 4; the top bit of the block keeps these draws apart from the negatives'.
    """
    blocks = 2**31 + torch.arange(-(-r // 4), device=rows.device)[None, :]
    row = rows[:, None]
    words = philox(seed, (row, torch.full_like(row, table), torch.full_like(row, offset & MASK), blocks))
    return words.flatten(1)[:, :r]


def round_stochastic(values: Tensor, words: Tensor, dtype: torch.dtype) -> Tensor:
    """Round float32 up or down by chance, so that the expected value is the number itself.

    Parameters
    ----------
    values : Tensor
        Float32.
    words : Tensor
        Of the same shape, int64: a random word of 32 bits for each value.
    dtype : {torch.bfloat16, torch.float16}
        The type to round to.

    Returns
    -------
    Tensor
        In ``dtype``.
    """
    bits = values.view(torch.int32).long()
    magnitude, negative = bits & 0x7FFFFFFF, bits < 0
    if dtype == torch.bfloat16:
        limit = 0x7F800000  # infinity
        rounded = (magnitude + (words >> 16)) >> 16
    else:
        limit = 0x47800000  # 65536
        normal = (magnitude - (112 << 23) + (words >> 19)) >> 13  # moves the exponent's bias
        scaled = values.abs() * 2.0**24  # below 2**-14 numbers are multiples of 2**-24
        whole = scaled.clamp(max=2.0**10).long()
        up = (words >> 8) < ((scaled - whole) * 2.0**24).clamp(max=2.0**24).long()
        rounded = torch.where(magnitude < 0x38800000, whole + up, normal)
    signed = torch.where(negative, rounded - 0x8000, rounded).to(torch.int16)
    return torch.where(magnitude < limit, signed.view(dtype), values.to(dtype))
