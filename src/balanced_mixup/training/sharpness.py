"""Sharpness-aware minimisation: a step by the gradient at w + rho g / |g|, not at w (Foret et al., ICLR 2021, Algorithm 1).

Notable decisions
- The running statistics of batch normalisation are those at w alone, as in the public implementations.
- The norm is over all parameters together. A factor of the loss, as reduced precision has it, cancels.
- With several processes gradients are averaged before w moves (m = all of the batch, in the paper's terms).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def ascended(model: nn.Module, rho: float) -> Iterator[None]:
    """Move the parameters of a model to w + rho g / |g|, given their gradients g; afterwards they are w again, bit for bit."""
    moved = [parameter for parameter in model.parameters() if parameter.grad is not None]
    before = [parameter.detach().clone() for parameter in moved]
    gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
    normalised = (layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm))
    tracking = [layer for layer in normalised if layer.track_running_stats]
    with torch.no_grad():
        length = torch.stack([gradient.float().norm() for gradient in gradients]).norm()
        for parameter, gradient in zip(moved, gradients, strict=True):
            parameter.add_(gradient * (rho / (length + 1e-12)))
    try:
        for layer in tracking:
            layer.track_running_stats = False
        yield
    finally:
        for layer in tracking:
            layer.track_running_stats = True
        with torch.no_grad():
            for parameter, value in zip(moved, before, strict=True):
                parameter.copy_(value)
