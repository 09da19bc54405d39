"""Class-balanced loss: - sum_k w_k y_k log p_k, w_k ~ (1 - beta) / (1 - beta^{n_k}) (Cui et al., CVPR 2019, Eq. 11)."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.errors import UsageError
from balanced_mixup.losses.base import Loss, Reduction
from balanced_mixup.sampling import Labels, checked_counts


class ClassBalanced(Loss):
    """Cross-entropy weighted by the inverse of each class's effective number of samples.

    The batch mean is taken over samples, not over their weights, as in the authors' code. With a mean weight of 1 over the
    classes an average sample then weighs much less than 1, which slows plain SGD down (Adam is not affected by the scale).
    """

    weights: Tensor

    def __init__(self, counts: Labels, beta: float = 0.9999, reduction: Reduction = "mean") -> None:
        """Compute the weights.

        Args:
            counts: (K,), training samples of each class.
            beta: In [0, 1). 0 weights all classes equally; towards 1 the weights become inverse class frequencies. 0.9999 is
                the authors' default; (N - 1) / N is their suggestion where N prototypes are thought to make up a class.
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        weights = torch.from_numpy(effective_number_weights(counts, beta)).float()
        self.register_buffer("weights", weights, persistent=False)

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -w log p."""
        return -self.weights * torch.log_softmax(outputs, dim=1)


def effective_number_weights(counts: Labels, beta: float) -> npt.NDArray[np.float64]:
    """Return class weights (1 - beta) / (1 - beta^n), normalised to mean 1 over the K classes (Cui et al. 2019).

    A class without samples gets weight 0 and is excluded from the mean.

    Args:
        counts: (K,), samples of each class.
        beta: In [0, 1).
    """
    if not 0 <= beta < 1:
        raise UsageError(f"Expected `beta` to be in [0, 1), but got {beta}.")
    n = checked_counts(counts)
    weights = np.where(n > 0, (1 - beta) / (1 - beta ** np.maximum(n, 1)), 0.0)
    normalised: npt.NDArray[np.float64] = weights / weights[n > 0].mean()
    return normalised
