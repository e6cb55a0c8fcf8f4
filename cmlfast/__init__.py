"""Collaborative Metric Learning with fused kernels."""

from cmlfast._extension import build_info

__all__ = ["build_info"]
