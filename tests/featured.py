"""Made-up likes that features explain: every item has tags of its taste, every user likes one taste."""

import numpy as np
from scipy import sparse
from torch import Tensor

N_USERS, N_ITEMS, N_TASTES, TAGS_PER_TASTE = 150, 120, 6, 5
N_TAGS = N_TASTES * TAGS_PER_TASTE
WITHHELD = np.arange(0, N_ITEMS, 5)  # items whose likes a test may leave out


def likes_and_tags(seed: int = 0) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Draw likes (N_USERS x N_ITEMS) and items' tags: two of the item's taste, one of any."""
    rng = np.random.default_rng(seed)
    of_item = rng.integers(N_TASTES, size=N_ITEMS)
    of_user = rng.integers(N_TASTES, size=N_USERS)
    popularity = 0.4 + 1.2 * rng.random(N_ITEMS)
    chance = np.where(of_user[:, None] == of_item, 0.35, 0.01) * popularity
    likes = sparse.csr_matrix((rng.random(chance.shape) < chance).astype(np.float32))
    tags = sparse.lil_matrix((N_ITEMS, N_TAGS), dtype=np.float32)
    for item, taste in enumerate(of_item):
        tags[item, TAGS_PER_TASTE * taste + rng.choice(TAGS_PER_TASTE, 2, replace=False)] = 1
        tags[item, rng.integers(N_TAGS)] = 1
    return likes, tags.tocsr()


def without(likes: sparse.csr_matrix, items: np.ndarray) -> sparse.csr_matrix:
    """Return likes of all items but some, in the same shape."""
    rest = likes.tolil()
    rest[:, items] = 0
    return rest.tocsr()


def of_length(predicted: Tensor, trained: Tensor) -> Tensor:
    """Give rows the length of trained ones: the lower median."""
    lengths = sorted(np.linalg.norm(trained.float().numpy(), axis=1).tolist())
    return predicted * (lengths[(len(lengths) - 1) // 2] / predicted.norm(dim=1, keepdim=True))
