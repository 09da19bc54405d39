"""Focal loss: - sum_k y_k (1 - p_k)^gamma log p_k (Lin et al., ICCV 2017, Eq. 4 without alpha)."""

import torch
from torch import Tensor

from balanced_mixup.errors import UsageError
from balanced_mixup.losses.base import Loss, Reduction


class Focal(Loss):
    """Focal loss: well-classified samples count less."""

    def __init__(self, gamma: float = 2.0, reduction: Reduction = "mean") -> None:
        """Args: gamma: At least 0; 0 is cross-entropy, 2 the authors' choice."""
        super().__init__(reduction)
        if not gamma >= 0:
            raise UsageError(f"Expected `gamma` to be at least 0, but got {gamma}.")
        self.gamma = gamma

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -(1 - p)^gamma log p."""
        log_p = torch.log_softmax(outputs, dim=1)
        # 1 - p as -expm1(log p) keeps its digits near p = 1; the floor keeps the gradient finite there for gamma < 1.
        return -((-torch.expm1(log_p)).clamp_min(1e-12) ** self.gamma) * log_p
