"""Cross-entropy: - sum_k y_k log p_k, p = softmax(outputs)."""

import torch
from torch import Tensor

from balanced_mixup.losses.base import Loss


class CrossEntropy(Loss):
    """Cross-entropy on soft targets."""

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -log p."""
        return -torch.log_softmax(outputs, dim=1)
