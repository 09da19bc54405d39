"""UniMix: MixUp whose partners and weights favour rare classes (Xu et al., NeurIPS 2021).

A partner is drawn from the batch with a probability ~ n^exponent of its class. The weight of a sample of class i with a partner
of class j is (Beta(alpha, alpha) + n_j / (n_i + n_j)) mod 1: with alpha below 1 most often near n_j / (n_i + n_j), so that the
rarer of the two has more weight.
"""

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing.base import Mix, Pairing, Proportions, beta_quadrature, check_weights, paired_proportions, pairing
from balanced_mixup.sampling import Labels, checked_counts


class UniMix(Mix):
    """MixUp of a batch with itself in favour of rare classes, one weight for each sample."""

    def __init__(self, counts: Labels, alpha: float = 0.8, exponent: float = -0.1) -> None:
        """Store the settings.

        Args:
            counts: (K,), training images of each class.
            alpha: Above 0.
            exponent: Below 0 rare classes are drawn more often as partners; 0 draws all images alike.
        """
        check_weights(alpha, "sample")
        if not np.isfinite(exponent):
            raise UsageError(f"Expected `exponent` to be a finite number, but got {exponent}.")
        n = checked_counts(counts)
        self.counts, self.alpha = n, alpha
        largest = n.max()
        self._odds = np.where(n > 0, np.where(n > 0, n / largest, 1.0) ** exponent, 0.0)

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Draw a partner for each sample, with replacement, and the weights."""
        own = labels[:batch_size]
        odds = self._odds[own]
        partner = rng.choice(batch_size, batch_size, p=odds / odds.sum())
        n, m = self.counts[own], self.counts[own[partner]]
        # 1 - w, as Beta(alpha, alpha) is symmetric.
        return pairing(partner, (rng.beta(self.alpha, self.alpha, batch_size) + n / (n + m)) % 1, batch_size)

    def target_proportions(self, own: Proportions, partners: Proportions | None) -> Proportions:
        """Return the expected proportion of each class in the targets (K,), which is larger for rarer classes."""
        weight, probability = beta_quadrature(self.alpha)
        n, m = self.counts[:, None], self.counts
        shift = n / np.maximum(n + m, 1)
        # The mean of (w + shift) mod 1 is that of w + shift, less the probability of w >= 1 - shift.
        mean = 0.5 + shift - np.interp(shift, weight, probability.cumsum())
        drawn = own * self._odds
        return paired_proportions(own, drawn / drawn.sum(), mean)
