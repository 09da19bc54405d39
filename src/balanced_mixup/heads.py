"""Heads: a layer from the backbone's features to outputs, and the conversion of outputs to probabilities.

A head is part of a method: cross-entropy goes with `Softmax`, losses with angular margins go with `Cosine`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balanced_mixup.errors import UsageError, shown


class Head(ABC):
    """Maps features (B, F) to outputs (B, K), and these to probabilities (B, K)."""

    name: ClassVar[str]
    """The name in model.json."""

    @abstractmethod
    def layer(self, in_features: int, num_classes: int) -> nn.Module:
        """Return a new layer from features (B, `in_features`) to outputs (B, K), with initial weights.

        Random weights come from torch's global generator, which the caller has seeded.
        """

    @abstractmethod
    def reset(self, layer: nn.Module) -> None:
        """Set the initial weights of a layer."""

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return float32 probabilities (B, K), rows sum to 1, for outputs (B, K) of any precision."""


@dataclass(frozen=True)
class Softmax(Head):
    """A linear layer that starts at zero, so that training starts at a loss of ln K (BiT: Kolesnikov et al., ECCV 2020)."""

    name: ClassVar[str] = "softmax"

    def layer(self, in_features: int, num_classes: int) -> nn.Module:
        """Return a linear layer of zeros."""
        layer = nn.Linear(in_features, num_classes)
        self.reset(layer)
        return layer

    def reset(self, layer: nn.Module) -> None:
        """Set all parameters to zero."""
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return softmax(outputs)."""
        return outputs.float().softmax(dim=1)


@dataclass(frozen=True)
class Cosine(Head):
    """Outputs are `scale` times the cosine between features and the weights of each class; no bias.

    Args:
        scale: Above 0; 30 in LDAM (Cao et al., NeurIPS 2019), 16 in GCL.
    """

    name: ClassVar[str] = "cosine"

    scale: float = 30.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 < self.scale < math.inf:
            raise UsageError(f"Expected `scale` of the cosine head to be above 0, but got {self.scale}.")

    def layer(self, in_features: int, num_classes: int) -> nn.Module:
        """Return a layer of random directions."""
        return CosineLayer(in_features, num_classes, self.scale)

    def reset(self, layer: nn.Module) -> None:
        """Draw new random directions of the classes."""
        for weight in layer.parameters():
            nn.init.normal_(weight)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return softmax(outputs), which include the scale."""
        return outputs.float().softmax(dim=1)


class CosineLayer(nn.Module):
    """Maps features (B, F), or (B, F, 1, 1) where it replaces a convolution, to scaled cosines (B, K)."""

    def __init__(self, in_features: int, out_features: int, scale: float) -> None:
        """Draw the direction of each class."""
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(out_features, in_features))

    def forward(self, features: Tensor) -> Tensor:
        """Return scale * cos, (B, K)."""
        return self.scale * F.linear(F.normalize(features.flatten(1), dim=1), F.normalize(self.weight, dim=1))


HEADS: Mapping[str, type[Head]] = {head.name: head for head in (Softmax, Cosine)}


def head_to_dict(head: Head) -> dict[str, Any]:
    """Return the name and settings of a head, as in `model.json`."""
    return {"name": head.name, **asdict(head)}  # type: ignore[call-overload]  # every head is a dataclass


def head_from_dict(content: Mapping[str, Any]) -> Head:
    """Return the head that `head_to_dict` described.

    Raises:
        UsageError: There is no such head, or its settings are not allowed.
    """
    settings = dict(content)
    name = settings.pop("name", None)
    try:
        return HEADS[name](**settings)
    except (KeyError, TypeError):
        raise UsageError(
            f"Expected a head among {', '.join(HEADS)} with its settings, but got {shown(dict(content))}."
        ) from None
