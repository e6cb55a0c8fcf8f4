"""The pairs of a share of the users, in the batches that all pairs have."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cmlfast.distributed.ranks import Ranks
from cmlfast.training.pairs import Pairs, sizes_of


@dataclass(frozen=True)
class SharedPairs(Pairs):
    """As :class:`Pairs`: of this rank's users, who come in a batch when they would come in it with all others."""

    ranks: Ranks | None = None

    def sizes(self, stretch: Tensor, n_batches: int) -> list[int]:
        """Return how many pairs of this rank each batch has.

        In each stretch of the epoch a rank's pairs stand behind those of the ranks before it. Where batches of one size
        cut it, they cut the pairs of all.
        """
        assert self.ranks is not None
        counts = self.ranks.gather(torch.bincount(stretch, minlength=n_batches)).cpu()  # [ranks, stretches]
        here = counts[self.ranks.rank]
        totals = counts.sum(0)
        begins = totals.cumsum(0) - totals + counts[: self.ranks.rank].sum(0)  # [stretches], of this rank's pairs in it
        before = here.cumsum(0) - here  # [stretches], this rank's pairs in those before
        ends = torch.tensor(sizes_of(int(totals.sum()), n_batches), dtype=torch.int64, device="cpu").cumsum(0)
        # The last stretch where this rank's pairs begin before a batch's end; all that are in those before it do.
        last = torch.searchsorted(begins, ends) - 1  # [batches], -1 for none
        there = last.clamp_min(0)
        passed = before[there] + torch.minimum((ends - begins[there]).clamp_min(0), here[there])
        sizes: list[int] = passed.diff(prepend=passed.new_zeros(1)).tolist()
        return sizes
