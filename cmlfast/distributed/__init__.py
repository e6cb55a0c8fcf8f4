"""Training by several processes: each has a share of the users, by torch.distributed they exchange what items need."""

__all__ = ["fit", "ranks", "shares"]
