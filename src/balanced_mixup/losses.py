"""Losses on soft targets: each takes logits (B, K) and targets (B, K) whose rows sum to 1, and returns the mean over B.

For one-hot targets each is equal to its usual definition on hard labels. With p = softmax(logits):

    cross-entropy    - sum_k y_k log p_k
    focal            - sum_k y_k (1 - p_k)^gamma log p_k                Lin et al., ICCV 2017, Eq. 4 without alpha
    class-balanced   - sum_k w_k y_k log p_k, w_k ~ (1 - beta) / (1 - beta^{n_k})     Cui et al., CVPR 2019, Eq. 11
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.errors import UsageError
from balanced_mixup.sampling import Labels


class Loss(ABC):
    """A function of (logits (B, K), targets (B, K)) to a scalar, the mean over the batch."""

    @abstractmethod
    def terms(self, log_p: Tensor) -> Tensor:
        """Return what a target of class k costs, (B, K), given float32 log-probabilities (B, K)."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch; computed in float32 whatever the precision of `logits`."""
        if logits.shape != targets.shape or not targets.is_floating_point():
            raise UsageError(
                f"Expected `targets` to be soft targets of shape {tuple(logits.shape)}, but got {targets.dtype} of shape "
                f"{tuple(targets.shape)}. Turn class numbers into targets with `one_hot(labels, num_classes)`."
            )
        return (targets.float() * self.terms(torch.log_softmax(logits.float(), dim=1))).sum(dim=1).mean()


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy."""

    def terms(self, log_p: Tensor) -> Tensor:
        """Return -log p."""
        return -log_p


@dataclass(frozen=True)
class Focal(Loss):
    """Focal loss: what is already well classified counts less.

    Args:
        gamma: At least 0; 0 is cross-entropy, 2 the authors' choice.
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.gamma >= 0:
            raise UsageError(f"Expected `gamma` to be at least 0, but got {self.gamma}.")

    def terms(self, log_p: Tensor) -> Tensor:
        """Return -(1 - p)^gamma log p."""
        # 1 - p as -expm1(log p) keeps its digits near p = 1; the floor keeps the gradient finite there for gamma < 1.
        return -((-torch.expm1(log_p)).clamp_min(1e-12) ** self.gamma) * log_p


class ClassBalanced(Loss):
    """Cross-entropy weighted by the inverse of each class's effective number of samples.

    The batch mean is taken over samples, not over their weights, as in the authors' code.
    """

    def __init__(self, counts: Labels, beta: float = 0.9999) -> None:
        """Compute the weights.

        Args:
            counts: (K,), training samples of each class.
            beta: In [0, 1). 0 weighs all classes alike; towards 1 the weights become inverse class frequencies. 0.9999 is
                the authors' default; (N - 1) / N is their suggestion where N prototypes are thought to make up a class.
        """
        self.weights = torch.from_numpy(effective_number_weights(counts, beta)).float()

    def terms(self, log_p: Tensor) -> Tensor:
        """Return -w log p."""
        return -self.weights.to(log_p.device, non_blocking=True) * log_p


def effective_number_weights(counts: Labels, beta: float) -> npt.NDArray[np.float64]:
    """Return class weights (1 - beta) / (1 - beta^n), normalised to mean 1 over the K classes (Cui et al. 2019).

    A class without samples gets weight 0 and does not count in the mean: no target can name it.

    Args:
        counts: (K,), samples of each class.
        beta: In [0, 1).
    """
    if not 0 <= beta < 1:
        raise UsageError(f"Expected `beta` to be in [0, 1), but got {beta}.")
    n = np.asarray(counts, dtype=np.float64)
    if n.ndim != 1 or not (n > 0).any() or not 0 <= n.min() <= n.max() < np.inf:
        raise UsageError(f"Expected `counts` to be one number >= 0 a class, at least one above 0, but got {counts}.")
    weights = np.where(n > 0, (1 - beta) / (1 - beta ** np.maximum(n, 1)), 0.0)
    normalised: npt.NDArray[np.float64] = weights / weights[n > 0].mean()
    return normalised


LOSSES: Mapping[str, Callable[[Labels, float, float], Loss]] = {
    "cross-entropy": lambda counts, focal_gamma, cb_beta: CrossEntropy(),
    "focal": lambda counts, focal_gamma, cb_beta: Focal(focal_gamma),
    "class-balanced": lambda counts, focal_gamma, cb_beta: ClassBalanced(counts, cb_beta),
}
