"""The baselines of the paper's Table 2 as plain torch models: what the kernels do for a model that is not ours.

A model is a `torch.nn.Module` that returns its users' and items' vectors, whose dot products are the scores; a loss
takes those. `losses` has the losses with the package's operators, `torch_losses` the same in plain torch.
"""
