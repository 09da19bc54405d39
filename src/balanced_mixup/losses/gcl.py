"""Gaussian clouded logits: cross-entropy of s (cos_j - k |noise_j| r_j) (Li et al., CVPR 2022)."""

import math

import numpy as np
import torch
from torch import Tensor

from balanced_mixup.losses.base import Loss, Reduction, at_least_0, normalised
from balanced_mixup.losses.class_counts import positive_counts
from balanced_mixup.sampling import Labels, Probabilities

_DEVIATION = 1 / 3


class GaussianClouded(Loss):
    """Cross-entropy of cosines that are lowered at random in training, the rarer the class the more.

    The noise is |N(0, 1/3)|, at most 1, for each sample and class, from torch's global generator, and there in training mode
    alone; r_j = log(n_max / n_j) / log(n_max / n_min).
    """

    head = "cosine"
    reach: Tensor

    def __init__(self, counts: Labels, noise: float = 0.5, scale: float = 30.0, reduction: Reduction = "mean") -> None:
        """Compute s times the factor of each class.

        Args:
            counts: (K,), training samples of each class; one without samples counts as the rarest of the others. If all have as
                many, there is no noise.
            noise: k, the factor of the rarest class, as a cosine; at least 0.
            scale: That of the cosine head, by which outputs are cosines.
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        rarity = np.log(positive_counts(counts).max() / positive_counts(counts))
        reach = scale * at_least_0(noise=noise) * rarity / (rarity.max() or 1.0)
        self.register_buffer("reach", torch.from_numpy(reach).float(), persistent=False)

    def adjusted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the scaled cosines less the noise."""
        if not self.training:
            return outputs
        drawn = _DEVIATION * torch.randn(outputs.shape, device=outputs.device)
        return outputs - self.reach * drawn.abs().clamp_max(1)

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -log p."""
        return -torch.log_softmax(outputs, dim=1)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return the proportions over the factor E exp(-noise) by which the noise lowers the odds of a class, normalised."""
        lowered = torch.special.erfcx(self.reach.double().cpu() * _DEVIATION / math.sqrt(2)).numpy()
        return normalised(proportions / lowered)
