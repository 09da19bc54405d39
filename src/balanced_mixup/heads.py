"""Heads: a layer from the backbone's features to outputs, and the conversion of outputs to probabilities.

A head is part of a method: cross-entropy goes with `Softmax`, losses with angular margins go with `Cosine`, those for
grades with `Corn` and `Coral`, which have an output for each threshold between two grades.
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
    """Maps features (B, F) to outputs (B, K), or (B, K - 1) if `ordinal`, and these to probabilities (B, K)."""

    name: ClassVar[str]
    """The name in model.json."""

    ordinal: ClassVar[bool] = False
    """Classes have to be ordered, and outputs are the K - 1 thresholds between them."""

    def num_outputs(self, num_classes: int) -> int:
        """Return the number of outputs for K classes."""
        return num_classes - self.ordinal

    @abstractmethod
    def layer(self, in_features: int, num_classes: int) -> nn.Module:
        """Return a new layer from features (B, `in_features`) to outputs, with initial weights.

        Random weights come from torch's global generator, which the caller has seeded.
        """

    @abstractmethod
    def reset(self, layer: nn.Module) -> None:
        """Set the initial weights of a layer."""

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return float32 probabilities (B, K), rows sum to 1, for outputs of any precision."""

    def class_scores(self, outputs: Tensor) -> Tensor:
        """Return the logit of each class, (B, K), or the logarithm of its probability if `ordinal`: what is explained."""
        return self.probabilities(outputs).clamp_min(torch.finfo(torch.float32).tiny).log() if self.ordinal else outputs


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


@dataclass(frozen=True)
class Corn(Head):
    """K - 1 outputs, the logits of P(grade > j | grade >= j), each of its own direction (Shi et al., PAA 2023).

    The weights start at zero and the biases such that all grades are equally probable.
    """

    name: ClassVar[str] = "corn"
    ordinal: ClassVar[bool] = True

    def layer(self, in_features: int, num_classes: int) -> nn.Module:
        """Return a layer with a direction for each threshold."""
        layer = ThresholdLayer(in_features, num_classes - 1, num_classes - 1)
        self.reset(layer)
        return layer

    def reset(self, layer: nn.Module) -> None:
        """Set the weights to zero, and P(grade > j | grade >= j) to (K - 1 - j) / (K - j)."""
        weight, bias = layer.parameters()
        nn.init.zeros_(weight)
        with torch.no_grad():
            bias.copy_(torch.arange(len(bias), 0, -1).log())

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return P(grade > 0) ... P(grade > k - 1 | grade >= k - 1) P(grade <= k | grade >= k)."""
        outputs = outputs.float()
        passed = F.pad(outputs.sigmoid().cumprod(dim=1), (1, 0), value=1.0)
        return passed * F.pad((-outputs).sigmoid(), (0, 1), value=1.0)


@dataclass(frozen=True)
class Coral(Head):
    """K - 1 outputs, the logits of P(grade > j), of one direction and a bias for each (Cao et al., PRL 2020).

    The weights start at zero and the biases such that all grades are equally probable.
    """

    name: ClassVar[str] = "coral"
    ordinal: ClassVar[bool] = True

    def layer(self, in_features: int, num_classes: int) -> nn.Module:
        """Return a layer with one direction."""
        layer = ThresholdLayer(in_features, 1, num_classes - 1)
        self.reset(layer)
        return layer

    def reset(self, layer: nn.Module) -> None:
        """Set the weights to zero, and P(grade > j) to (K - 1 - j) / K."""
        weight, bias = layer.parameters()
        nn.init.zeros_(weight)
        with torch.no_grad():
            bias.copy_((torch.arange(len(bias), 0, -1) / (len(bias) + 1)).logit())

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return P(grade > k - 1) - P(grade > k).

        Where these cross, they are put in order (rearrangement: Chernozhukov et al., Econometrica 2010).
        """
        ordered = outputs.float().sort(dim=1, descending=True).values
        a, b = F.pad(ordered, (1, 0), value=math.inf), F.pad(ordered, (0, 1), value=-math.inf)
        # sigmoid(a) - sigmoid(b), which keeps its digits where both are near 1.
        return a.sigmoid() * (-b).sigmoid() * -torch.expm1(b - a)


class ThresholdLayer(nn.Module):
    """Maps features (B, F), or (B, F, 1, 1) where it replaces a convolution, to K - 1 outputs, of one direction or as many."""

    def __init__(self, in_features: int, directions: int, thresholds: int) -> None:
        """Make room for the parameters."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(directions, in_features))
        self.bias = nn.Parameter(torch.empty(thresholds))

    def forward(self, features: Tensor) -> Tensor:
        """Return outputs (B, K - 1)."""
        return F.linear(features.flatten(1), self.weight) + self.bias


HEADS: Mapping[str, type[Head]] = {head.name: head for head in (Softmax, Cosine, Corn, Coral)}


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
