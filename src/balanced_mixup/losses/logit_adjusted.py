"""Logit-adjusted loss: cross-entropy of z + tau log pi (Menon et al., ICLR 2021; tau 1: Ren et al., NeurIPS 2020)."""

import numpy as np
import torch
from torch import Tensor

from balanced_mixup.losses.base import Loss, Reduction, at_least_0, normalised
from balanced_mixup.losses.class_counts import class_shares
from balanced_mixup.sampling import Labels, Probabilities


class LogitAdjusted(Loss):
    """Cross-entropy of logits to which tau times the logarithm of each class's share pi is added in training.

    The model then has to explain only what the shares do not, so that its own outputs are those for balanced classes (tau 1).
    """

    adjustment: Tensor

    def __init__(self, counts: Labels, tau: float = 1.0, reduction: Reduction = "mean") -> None:
        """Compute tau log pi.

        Args:
            counts: (K,), training samples of each class; one without samples counts as the rarest of the others.
            tau: At least 0; 0 is cross-entropy, 1 balanced softmax.
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        self.tau, self.shares = at_least_0(tau=tau), class_shares(counts)
        self.register_buffer("adjustment", torch.from_numpy(tau * np.log(self.shares)).float(), persistent=False)

    def adjusted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return z + tau log pi."""
        return outputs + self.adjustment

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -log p."""
        return -torch.log_softmax(outputs, dim=1)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return proportions / pi^tau, normalised: equal shares for plain sampling and tau 1."""
        return normalised(proportions * self.shares**-self.tau)
