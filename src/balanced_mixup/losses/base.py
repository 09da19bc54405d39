"""The interface of a loss: outputs (B, K) and soft targets (B, K), whose rows sum to 1, to the mean over the batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from balanced_mixup.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from balanced_mixup.sampling import Probabilities

Reduction = Literal["mean", "sum", "none"]


class Loss(nn.Module, ABC):
    """A loss on soft targets: the expectation of the per-class loss over each sample's target.

    A subclass defines `per_class_loss`, and `adjusted` if it moves the outputs in training; for one-hot targets that is the
    usual definition on hard labels. Class weights and the like are buffers that are not persistent, so that they move to the
    model's device and stay out of its checkpoint. Random numbers are torch's, and drawn in training mode alone, as in dropout.

    A loss sees outputs and targets only, so that it trains a whole model as well as a head on precomputed features.
    """

    head: str = "softmax"
    """Name of the head whose outputs it takes (`heads.HEADS`)."""

    ordinal: bool = False
    """Classes have to be ordered, and outputs are the K - 1 thresholds between them."""

    smooths: bool = False
    """Sure right answers have a loss, too."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        """Args: reduction: "mean" over the batch, "sum", or "none" for one value per sample (B,)."""
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise UsageError(f"Expected `reduction` to be 'mean', 'sum' or 'none', but got {reduction!r}.")
        self.reduction = reduction

    @abstractmethod
    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return the loss for each target class k, (B, K), given float32 outputs (B, K), or (B, K - 1) if `ordinal`."""

    def adjusted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the outputs that `per_class_loss` gets: moved by margins, class shares or noise, for targets (B, K).

        Predictions are made from the head's outputs.
        """
        return outputs

    def terms(self, targets: Tensor) -> Tensor:
        """Return the number of terms (B,) that the loss of each sample is the sum of: the mean is over the batch's terms."""
        return targets.new_ones(len(targets))

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return the class prior that the outputs imply after training on targets with these mean proportions.

        By default the proportions times the loss of each class at equal outputs, which is its class weight if it has one.

        Args:
            proportions: float64 (K,), sums to 1.

        Returns:
            float64 (K,), sums to 1; 0 for a class whose proportion is 0.
        """
        with torch.no_grad():
            at_equal_outputs = self.per_class_loss(torch.zeros(1, len(proportions)))[0].double().numpy()
        return normalised(proportions * at_equal_outputs)

    def weighted(self, weights: Sequence[float] | npt.NDArray[np.floating]) -> Loss:
        """Return this loss times the weight of each target class, sum_k Y_k w_k loss_k, given weights (K,)."""
        return _Weighted(self, weights)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch; computed in float32 whatever the precision of `outputs`.

        Args:
            outputs: (B, K), of the head: logits for a softmax head; (B, K - 1) if `ordinal`.
            targets: floating point (B, K), rows sum to 1.

        Raises:
            UsageError: `targets` are class numbers or of another shape.
        """
        expected = (*outputs.shape[:-1], outputs.shape[-1] + self.ordinal)
        if targets.shape != expected or not targets.is_floating_point():
            raise UsageError(
                f"Expected `targets` to be soft targets of shape {expected}, but got {targets.dtype} of shape "
                f"{tuple(targets.shape)}. Turn class numbers into targets with `one_hot(labels, num_classes)`."
            )
        targets = targets.float()
        losses = (targets * self.per_class_loss(self.adjusted(outputs.float(), targets))).sum(dim=1)
        losses = losses / self.terms(targets).mean()
        match self.reduction:
            case "mean":
                return losses.mean()
            case "sum":
                return losses.sum()
            case "none":
                return losses


class _Weighted(Loss):
    """Another loss times class weights."""

    weights: Tensor

    def __init__(self, loss: Loss, weights: Sequence[float] | npt.NDArray[np.floating]) -> None:
        super().__init__(loss.reduction)
        array = np.asarray(weights, np.float64)
        if array.ndim != 1 or not 0 <= array.min() <= array.max() < np.inf or not array.any():
            raise UsageError(f"Expected `weights` to be one number >= 0 per class, at least one above 0, but got {weights}.")
        self.loss, self.head, self.ordinal, self.smooths = loss, loss.head, loss.ordinal, loss.smooths
        self.register_buffer("weights", torch.from_numpy(array).float(), persistent=False)

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        return self.weights * self.loss.per_class_loss(outputs)

    def adjusted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss.adjusted(outputs, targets)

    def terms(self, targets: Tensor) -> Tensor:
        return self.loss.terms(targets)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        return self.loss.taught_prior(normalised(proportions * self.weights.double().cpu().numpy()))


def at_least_0(**setting: float) -> float:
    """Return the value of a setting, given by its name. UsageError where it is negative or not finite."""
    ((name, value),) = setting.items()
    if not 0 <= value < np.inf:
        raise UsageError(f"Expected `{name}` to be at least 0, but got {value}.")
    return value


def normalised(weights: Probabilities) -> Probabilities:
    """Return weights (K,) divided by their sum."""
    divided: Probabilities = weights / weights.sum()
    return divided
