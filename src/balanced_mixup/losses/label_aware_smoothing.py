"""Label-aware smoothing: labels of frequent classes are smoothed more (Zhong et al., CVPR 2021, Eq. 6 with the sine).

(1 - eps_y)(-log p_y) + eps_y mean_k(-log p_k);  eps_y = t + (h - t) sin(pi (n_y - n_min) / (2 (n_max - n_min)))
"""

import numpy as np
import torch
from torch import Tensor

from balanced_mixup.errors import UsageError
from balanced_mixup.losses.base import Loss, Reduction, normalised
from balanced_mixup.losses.class_counts import positive_counts
from balanced_mixup.sampling import Labels, Probabilities


class LabelAwareSmoothing(Loss):
    """Cross-entropy on labels of which eps_y is spread over all classes, so that frequent ones are not predicted too surely."""

    smooths = True
    smoothing: Tensor

    def __init__(
        self, counts: Labels, smooth_head: float = 0.3, smooth_tail: float = 0.0, reduction: Reduction = "mean"
    ) -> None:
        """Compute eps.

        Args:
            counts: (K,), training samples of each class; if all have as many, all get `smooth_tail`.
            smooth_head: h, of the most frequent class, in [0, 1].
            smooth_tail: t, of the rarest class, in [0, 1].
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        for name, value in (("smooth_head", smooth_head), ("smooth_tail", smooth_tail)):
            if not 0 <= value <= 1:
                raise UsageError(f"Expected `{name}` to be in [0, 1], but got {value}.")
        n = positive_counts(counts)
        place = (n - n.min()) / max(1.0, n.max() - n.min())
        smoothing = smooth_tail + (smooth_head - smooth_tail) * np.sin(np.pi / 2 * place)
        self.register_buffer("smoothing", torch.from_numpy(smoothing).float(), persistent=False)

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return the loss of each smoothed label."""
        losses = -torch.log_softmax(outputs, dim=1)
        return (1 - self.smoothing) * losses + self.smoothing * losses.mean(dim=1, keepdim=True)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return the proportions of the smoothed labels, among the classes that have any."""
        eps = self.smoothing.double().cpu().numpy()
        smoothed = (1 - eps) * proportions + (eps @ proportions) / len(eps)
        return normalised(np.where(proportions > 0, smoothed, 0.0))
