"""A head of which one factor for each class is trained: learnable weight scaling (Kang et al., ICLR 2020)."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from balanced_mixup.errors import UsageError


class ScaledHead(nn.Module):
    """A frozen linear head whose logits are multiplied by a factor for each class, 1 at first."""

    def __init__(self, layer: nn.Module) -> None:
        """Copy the layer. UsageError where it is not linear: its factors could not become part of its weights."""
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise UsageError(f"The classes of a {type(layer).__name__} cannot be scaled: it is not a linear head.")
        self.layer = deepcopy(layer).requires_grad_(False)
        self.scales = nn.Parameter(torch.ones(len(layer.weight), device=layer.weight.device))

    def forward(self, features: Tensor) -> Tensor:
        """Return s_k (w_k f + b_k), (B, K)."""
        outputs: Tensor = self.layer(features)
        return self.scales * outputs.flatten(1)

    def fold_into(self, layer: nn.Module) -> None:
        """Give a layer of the same shape the weights s_k w_k and the bias s_k b_k, so that it computes the same."""
        with torch.no_grad():
            for name, own in self.layer.named_parameters():
                scales = self.scales.reshape(-1, *[1] * (own.ndim - 1))
                layer.get_parameter(name).copy_(scales * own)
