"""CORAL: is the grade above j? For each of K - 1 thresholds a binary cross-entropy over all samples (Cao et al., PRL 2020)."""

import torch.nn.functional as F
from torch import Tensor

from balanced_mixup.losses.base import Loss
from balanced_mixup.sampling import Probabilities


class Coral(Loss):
    """Consistent rank logits: outputs (B, K - 1) are the logits of P(grade > j)."""

    head = "coral"
    ordinal = True

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return the sum over the thresholds for each grade k: k of them are below it."""
        below = F.pad(F.softplus(-outputs).cumsum(dim=1), (1, 0))
        return below + F.pad(F.softplus(outputs).flip(1).cumsum(dim=1).flip(1), (0, 1))

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return the proportions."""
        return proportions
