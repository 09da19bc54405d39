"""BBN-mix: an image of plain sampling mixed with one of reverse-frequency sampling, w ~ Beta(alpha, alpha).

It is MixUp over the two branches of BBN (Zhou et al., CVPR 2020), from the code of Bag of Tricks for Long-Tailed Visual
Recognition (Zhang et al., AAAI 2021). Both branches have the same weight on average. Balanced-MixUp differs in its partners
(class sampling, not the reverse) and in their weight, Beta(alpha, 1), which keeps plain sampling ahead.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from balanced_mixup.mixing.base import Mix, Pairing, WeightPer, check_weights, number_of_draws, pairing


@dataclass(frozen=True)
class BbnMix(Mix):
    """MixUp of two branches.

    Args:
        alpha: Above 0; small values keep mixed images close to one of the two.
        weight_per: One weight for the "batch", as in the authors' code, or one for each "sample".
    """

    needs_partners: ClassVar[bool] = True

    alpha: float = 0.2
    weight_per: WeightPer = "batch"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_weights(self.alpha, self.weight_per)

    @property
    def mean_partner_weight(self) -> float:
        """The mean of Beta(alpha, alpha)."""
        return 0.5

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Pair each sample with the partner branch's draw at its position."""
        draws = rng.beta(self.alpha, self.alpha, number_of_draws(self.weight_per, batch_size))
        return pairing(batch_size + np.arange(batch_size), draws, batch_size)
