"""CORN: is the grade above j, given that it is at least j? Binary cross-entropies of K - 1 tasks (Shi et al., PAA 2023)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from balanced_mixup.losses.base import Loss
from balanced_mixup.sampling import Probabilities


class Corn(Loss):
    """Conditional ordinal regression: outputs (B, K - 1) are the logits of P(grade > j | grade >= j).

    A sample of grade k takes part in the tasks j <= k. As in the authors' code, the mean is over all pairs of a sample and a
    task in the batch; a soft target takes part by its mass at and above each grade.
    """

    head = "corn"
    ordinal = True

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return the sum over the tasks of each grade k."""
        return F.pad(F.softplus(-outputs).cumsum(dim=1), (1, 0)) + F.pad(F.softplus(outputs), (0, 1))

    def terms(self, targets: Tensor) -> Tensor:
        """Return the number of tasks of each sample."""
        classes = targets.shape[1]
        tasks = torch.arange(1, classes + 1, device=targets.device).clamp_max(classes - 1)
        return (targets * tasks).sum(dim=1)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return the proportions."""
        return proportions
