"""Numbers as people's habits make them: few come often, most seldom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def zipf(rng: np.random.Generator, n: int, among: int) -> npt.NDArray[np.int64]:
    """Draw n numbers below a bound; of their ranks, k comes in proportion to about 1 / (k + among / 1000)."""
    shift = max(among / 1000, 1)
    # What falls as 1 / x has a logarithm for its sum.
    drawn = shift * np.exp(rng.random(n) * np.log1p(among / shift)) - shift
    # Multiplied by a prime, or else the frequent ones would be the small ones.
    spread: npt.NDArray[np.int64] = np.minimum(drawn.astype(np.int64), among - 1) * 7_919 % among
    return spread
