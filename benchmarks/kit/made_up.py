"""Made-up cases of any size, on any device."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.kit.case import SEED, Case
from cmlfast.training.tables import Tables


def random_case(
    n_users: int,
    n_items: int,
    n_pairs: int,
    r: int,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    liked: int = 20,
) -> Case:
    """Draw tables in the ball and `liked` items for each user, evenly; ids are int32.

    The bits depend on the kind of device. Nearly all pairs have a positive hinge, as in the first steps of a training.
    """
    generator = torch.Generator(device).manual_seed(SEED)

    def table(n: int) -> Tensor:
        rows = torch.randn((n, r), generator=generator, device=device).mul_(r**-0.5)
        return rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1)).to(dtype)

    def state(n: int) -> Tensor:
        return torch.rand((n, r), generator=generator, device=device).mul_(0.1)

    tables = Tables(table(n_users), table(n_items), state(n_users), state(n_items))
    # One item from each of as many stretches of the catalogue: sorted, without repeats.
    width = n_items // liked
    items = torch.randint(width, (n_users, liked), generator=generator, device=device, dtype=torch.int32)
    items += width * torch.arange(liked, device=device, dtype=torch.int32)
    indptr = torch.arange(0, n_users * liked + 1, liked, device=device, dtype=torch.int32)
    nothing = items.new_empty(0)
    name = f"made up, {n_users:,} users, {n_items:,} items"
    return with_batch(Case(name, tables, indptr, items.view(-1), nothing, nothing), n_pairs)


def with_batch(case: Case, n_pairs: int) -> Case:
    """Return the case with another batch: pairs of the matrix, each at most once if there are enough."""
    n = len(case.indices)
    device = case.indices.device
    generator = torch.Generator(device).manual_seed(SEED)
    if n_pairs <= n:
        chosen = torch.randperm(n, generator=generator, device=device)[:n_pairs]
    else:
        chosen = torch.randint(n, (n_pairs,), generator=generator, device=device)
    users = torch.searchsorted(case.indptr, chosen.to(case.indptr.dtype), right=True, out_int32=True) - 1
    return replace(case, users=users.to(case.indices.dtype), positives=case.indices[chosen])
