"""Batches for the operators' tests: tables, a matrix of positives, pairs; and the comparison bit for bit."""

from dataclasses import dataclass

import torch
from torch import Tensor

DIMENSIONS = (1, 3, 31, 32, 33, 100, 128, 300, 1000)
N_NEGATIVES = (1, 5, 20, 64)
ID_TYPES = (torch.int64, torch.int32)
NARROW = (torch.bfloat16, torch.float16)  # what tables may be stored in beside float32

LIKES_ALL, LIKES_ALL_BUT_ONE, LIKES_NOTHING = 0, 1, 2  # users of every batch made here


@dataclass
class Batch:
    """What a training step reads and changes."""

    user_w: Tensor  # [I, r]
    item_w: Tensor  # [J, r]
    user_state: Tensor  # [I, r]
    item_state: Tensor  # [J, r]
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]
    users: Tensor  # [N]
    positives: Tensor  # [N]

    @property
    def tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.user_w, self.item_w, self.user_state, self.item_state

    @property
    def sampling(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.indptr, self.indices, self.users, self.positives

    def clone(self) -> "Batch":
        return Batch(*(tensor.clone() for tensor in vars(self).values()))

    def stored_as(self, dtype: torch.dtype) -> "Batch":
        """Return a copy whose tables are of another type."""
        batch = self.clone()
        batch.user_w, batch.item_w = batch.user_w.to(dtype), batch.item_w.to(dtype)
        return batch

    def rowwise(self, names: tuple[str, ...] = ("user_state", "item_state")) -> "Batch":
        """Return a copy with accumulators of one number for each row."""
        batch = self.clone()
        for name in names:
            setattr(batch, name, getattr(batch, name)[:, :1].clone())
        return batch

    def strided(self) -> "Batch":
        """Return the same values in tensors that are not contiguous."""
        return Batch(*(strided(tensor) for tensor in vars(self).values()))


def csr(rows: list[list[int]], dtype: torch.dtype = torch.int64) -> tuple[Tensor, Tensor]:
    """Return indptr and indices of rows of column ids."""
    ends = torch.tensor([0] + [len(row) for row in rows]).cumsum(0)
    return ends.to(dtype), torch.tensor([item for row in rows for item in sorted(row)], dtype=dtype)


def strided(tensor: Tensor) -> Tensor:
    """Return a view of the same values with gaps between elements, filled with what no test expects."""
    fill = float("nan") if tensor.is_floating_point() else -77
    wide = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), fill, dtype=tensor.dtype)
    view = wide[..., ::2]
    view.copy_(tensor)
    return view


def pairs_for_threads(r: int, n_negatives: int) -> int:
    """Return a batch size that three threads share, and no larger than that needs."""
    return min(max(49152 // ((n_negatives + 1) * r), 37), 3001)


def make_batch(
    r: int,
    n_pairs: int,
    dtype: torch.dtype = torch.int64,
    n_users: int = 40,
    n_items: int = 90,
    one_user: bool = False,
    one_item: bool = False,
    seed: int = 0,
) -> Batch:
    """Draw a batch, the same for the same arguments; every eighth pair's user is an edge of sampling."""
    generator = torch.Generator().manual_seed(seed)

    def below(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    everything = list(range(n_items))
    rows = [everything, [item for item in everything if item != n_items // 3], []]
    for _ in range(n_users - 3):
        rows.append(below(n_items, int(below(n_items // 2, 1)) + 1).unique().tolist())
    users = 3 + below(n_users - 3, n_pairs)
    users[::8] = below(3, len(users[::8]))
    positives = below(n_items, n_pairs)
    if one_user:
        users[:] = 5
    if one_item:
        positives[:] = 7
    scale = r**-0.5
    tables = [torch.randn((n, r), generator=generator) * scale for n in (n_users, n_items)]
    states = [torch.rand((n, r), generator=generator) * 0.1 for n in (n_users, n_items)]
    return Batch(*tables, *states, *csr(rows, dtype), users.to(dtype), positives.to(dtype))


def assert_same(got: Tensor, want: Tensor, what: str = "") -> None:
    """Assert one type, one shape and the same bits; any NaN equals any other."""
    assert got.dtype == want.dtype, f"{what}: {got.dtype} instead of {want.dtype}"
    assert got.shape == want.shape, f"{what}: {tuple(got.shape)} instead of {tuple(want.shape)}"
    different = bits(got) != bits(want)
    if different.any():
        at = tuple(different.nonzero()[0].tolist())
        raise AssertionError(
            f"{what}: {int(different.sum())} of {different.numel()} differ, first at {at}: "
            f"{got[at].item()!r} instead of {want[at].item()!r}"
        )


def bits(tensor: Tensor) -> Tensor:
    """Return the representation as integers, every NaN as one."""
    if not tensor.is_floating_point():
        return tensor
    quiet = torch.where(tensor.isnan(), torch.full_like(tensor, float("nan")), tensor).contiguous()
    return quiet.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()])
