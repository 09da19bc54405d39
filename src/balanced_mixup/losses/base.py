"""The interface of a loss: outputs (B, K) and soft targets (B, K), whose rows sum to 1, to the mean over the batch."""

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor, nn

from balanced_mixup.errors import UsageError

Reduction = Literal["mean", "sum", "none"]


class Loss(nn.Module, ABC):
    """A loss on soft targets: the expectation of the per-class loss over each sample's target.

    A subclass defines `per_class_loss`; for one-hot targets that is the usual definition on hard labels. Class weights and the
    like are buffers that are not persistent, so that they move to the model's device and stay out of its checkpoint.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        """Args: reduction: "mean" over the batch, "sum", or "none" for one value per sample (B,)."""
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise UsageError(f"Expected `reduction` to be 'mean', 'sum' or 'none', but got {reduction!r}.")
        self.reduction = reduction

    @abstractmethod
    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return the loss for each target class k, (B, K), given float32 outputs (B, K) of the head."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch; computed in float32 whatever the precision of `outputs`.

        Args:
            outputs: (B, K), of the head: logits for a softmax head.
            targets: floating point (B, K), rows sum to 1.

        Raises:
            UsageError: `targets` are class numbers or of another shape.
        """
        if outputs.shape != targets.shape or not targets.is_floating_point():
            raise UsageError(
                f"Expected `targets` to be soft targets of shape {tuple(outputs.shape)}, but got {targets.dtype} of shape "
                f"{tuple(targets.shape)}. Turn class numbers into targets with `one_hot(labels, num_classes)`."
            )
        losses = (targets.float() * self.per_class_loss(outputs.float())).sum(dim=1)
        match self.reduction:
            case "mean":
                return losses.mean()
            case "sum":
                return losses.sum()
            case "none":
                return losses
