"""Balanced binary cross-entropy: a sigmoid for each class, of z + log pi - log(1 - pi) (Xu et al., CVPR 2023, LiVT)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from balanced_mixup.losses.base import Loss, Reduction, normalised
from balanced_mixup.losses.class_counts import class_shares
from balanced_mixup.sampling import Labels, Probabilities


class BalancedBce(Loss):
    """The sum of the binary cross-entropies of each class against the rest, with the logit of its share added in training."""

    adjustment: Tensor

    def __init__(self, counts: Labels, reduction: Reduction = "mean") -> None:
        """Compute log pi - log(1 - pi).

        Args:
            counts: (K,), training samples of each class; one without samples counts as the rarest of the others.
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        shares = class_shares(counts)
        # A class that has all samples is taken to miss one.
        self.odds = shares / np.maximum(1 - shares, 1 / (np.sum(counts) + 1))
        self.register_buffer("adjustment", torch.from_numpy(np.log(self.odds)).float(), persistent=False)

    def adjusted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return z + log pi - log(1 - pi)."""
        return outputs + self.adjustment

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return the sum over k of the binary cross-entropies of each one-hot target."""
        negatives = F.softplus(outputs)
        return F.softplus(-outputs) + negatives.sum(dim=1, keepdim=True) - negatives

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return the odds of each proportion over those of its class's share, normalised: equal shares for plain sampling."""
        odds = proportions / np.maximum(1 - proportions, 1e-12)
        return normalised(odds / self.odds)
