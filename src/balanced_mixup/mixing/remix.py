"""Remix: images are mixed as in MixUp, labels in favour of the rarer class (Chou et al., ECCVW 2020).

The label of the rarer image has weight 1 where the other class has at least kappa times as many images and the rarer image more
than 1 - threshold of the mix; otherwise labels have the weights of their images.
"""

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing.base import (
    Mix,
    Pairing,
    Proportions,
    WeightPer,
    beta_quadrature,
    check_weights,
    number_of_draws,
    paired_proportions,
    pairing,
)
from balanced_mixup.sampling import Labels, checked_counts


class Remix(Mix):
    """MixUp of a batch with itself whose labels favour the rarer class."""

    def __init__(
        self, counts: Labels, alpha: float = 1.0, kappa: float = 3.0, threshold: float = 0.5, weight_per: WeightPer = "batch"
    ) -> None:
        """Store the settings.

        Args:
            counts: (K,), training images of each class.
            alpha: Above 0; weights of images come from Beta(alpha, alpha).
            kappa: Above 1: how many times more images a class has that counts as more frequent.
            threshold: In 0..1, the weight of the more frequent image under which its label counts for nothing.
            weight_per: One weight for the "batch", as in the authors' code, or one for each "sample".
        """
        check_weights(alpha, weight_per)
        if not (1 < kappa < np.inf and 0 <= threshold <= 1):
            raise UsageError(f"Expected `kappa` > 1 and `threshold` in 0..1, but got {kappa} and {threshold}.")
        self.counts = checked_counts(counts)
        self.alpha, self.kappa, self.threshold, self.weight_per = alpha, kappa, threshold, weight_per

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Draw the weights and a permutation of the batch, and weigh the labels."""
        draws = rng.beta(self.alpha, self.alpha, number_of_draws(self.weight_per, batch_size))
        paired = pairing(rng.permutation(batch_size), draws, batch_size)
        target_weight = self.target_weight(labels[:batch_size], labels[paired.partner], paired.weight)
        return paired._replace(target_weight=np.where(paired.weight > 0, target_weight, 0).astype(np.float32))

    def target_weight(
        self, own: npt.NDArray[np.int64], partners: npt.NDArray[np.int64], weight: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.floating]:
        """Return the weight of each partner's label, given the classes of both and the weight of the partner's image."""
        n, m = self.counts[own], self.counts[partners]
        rarer_partner = (n >= self.kappa * m) & (1 - weight < self.threshold)
        rarer_own = (m >= self.kappa * n) & (weight < self.threshold)
        return np.where(rarer_partner, 1.0, np.where(rarer_own, 0.0, weight))

    def target_proportions(self, own: Proportions, partners: Proportions | None) -> Proportions:
        """Return the expected proportion of each class in the targets (K,), which is larger for rarer classes."""
        weight, probability = beta_quadrature(self.alpha)
        rare = float((np.where(1 - weight < self.threshold, 1.0, weight) * probability).sum())
        n, m = self.counts[:, None], self.counts
        mean = np.where(n >= self.kappa * m, rare, np.where(m >= self.kappa * n, 1 - rare, 0.5))
        return paired_proportions(own, own, mean)
