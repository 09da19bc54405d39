"""Vector-scaling loss: cross-entropy of z (n / n_max)^gamma + tau log pi (Kini et al., NeurIPS 2021)."""

import torch
from torch import Tensor

from balanced_mixup.losses.base import Loss, Reduction, at_least_0
from balanced_mixup.losses.class_counts import positive_counts
from balanced_mixup.losses.logit_adjusted import LogitAdjusted
from balanced_mixup.sampling import Labels, Probabilities


class VectorScaling(Loss):
    """Logit adjustment, with logits that count less the rarer the class: that matters where the training data are separable."""

    factors: Tensor

    def __init__(self, counts: Labels, gamma: float = 0.3, tau: float = 1.0, reduction: Reduction = "mean") -> None:
        """Compute the factors and the adjustment.

        Args:
            counts: (K,), training samples of each class; one without samples counts as the rarest of the others.
            gamma: At least 0; 0 is the logit-adjusted loss.
            tau: At least 0.
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        self.shifted = LogitAdjusted(counts, tau)
        n = positive_counts(counts)
        self.register_buffer("factors", torch.from_numpy((n / n.max()) ** at_least_0(gamma=gamma)).float(), persistent=False)

    def adjusted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return z (n / n_max)^gamma + tau log pi."""
        return self.shifted.adjusted(outputs * self.factors, targets)

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -log p."""
        return -torch.log_softmax(outputs, dim=1)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return that of the adjustment: the factors give each class a temperature of its own, which no prior describes."""
        return self.shifted.taught_prior(proportions)
