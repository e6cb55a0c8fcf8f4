"""The losses under ``torch.autocast`` and ``torch.func``, for which torch's registration of a gradient does not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Loss = Callable[..., Any]
LOSSES = ("warp_hinge", "warp_hinge_sampled", "sampled_softmax")
_libraries: list[torch.library.Library] = []  # which take their kernels with them when they go


def allow_autocast(library: str) -> None:
    """Let users and items be of different types where ``torch.autocast`` has made them so: the narrower is widened.

    A linear layer under autocast gives bfloat16 vectors, while a table of embeddings stays float32.
    """
    fragment = torch.library.Library(library, "FRAGMENT")
    _libraries.append(fragment)
    for name in LOSSES:
        for device in ("cpu", "cuda"):
            fragment.impl(
                name, _widening(getattr(getattr(torch.ops, library), name), device), f"Autocast{device.upper()}"
            )


def _widening(operator: Loss, device: str) -> Loss:
    def run(user_vectors: Tensor, item_vectors: Tensor, *rest: Any) -> Any:
        wide = torch.promote_types(user_vectors.dtype, item_vectors.dtype)
        with torch.autocast(device, enabled=False):
            return operator(user_vectors.to(wide), item_vectors.to(wide), *rest)

    return run


def transformable(operator: Loss, save: Callable[..., None], gradients: Callable[..., tuple[Any, ...]]) -> Loss:
    """Return an operator that ``torch.func.grad``, ``vjp`` and ``jacrev`` can go through, once.

    Parameters
    ----------
    operator : callable
        Of tensors and options to a tensor, or several.
    save : callable
        Keeps in a context what ``gradients`` needs, of the operator's inputs and its output.
    gradients : callable
        Of the context and the gradients of the output: those of the inputs.
    """

    class Transformable(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return operator(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            save(ctx, inputs, output)
            if getattr(ctx, "sparse_grad", False):
                raise ValueError("sparse_grad is True, but torch.func has no sparse gradients; leave it False there")

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return gradients(ctx, *grads)

    def run(*inputs: Any) -> Any:
        # torch's own registration serves everything else, compilation and export included.
        within = torch._C._are_functorch_transforms_active()
        return Transformable.apply(*inputs) if within else operator(*inputs)

    return run
