"""Balanced-MixUp: an image of the instance branch mixed with one of the class branch (Eq. 3).

    x = (1 - w) x_I + w x_C, targets alike, w ~ Beta(alpha, 1)

w is the weight of the CLASS-BALANCED image. The paper's Eq. 3 writes lambda ~ Beta(alpha, 1) in front of the instance image,
but its prose (instance images get more weight; larger alpha gives rare classes more) and its code have it this way round. The
mean of w is alpha / (1 + alpha): 0.09, 0.17, 0.23 for alpha = 0.1, 0.2, 0.3.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from balanced_mixup.mixing.base import Mix, Pairing, WeightPer, check_weights, number_of_draws, pairing


@dataclass(frozen=True)
class BalancedMixUp(Mix):
    """Balanced-MixUp.

    Args:
        alpha: Above 0; the mean weight of the class-balanced image is alpha / (1 + alpha).
        weight_per: One weight for the "batch" (the paper), or one for each "sample".
    """

    needs_partners: ClassVar[bool] = True

    alpha: float = 0.2
    weight_per: WeightPer = "batch"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_weights(self.alpha, self.weight_per)

    @property
    def mean_partner_weight(self) -> float:
        """The mean of Beta(alpha, 1); that weights under 1/510 count as 0 changes it by less than 0.001."""
        return self.alpha / (1 + self.alpha)

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Pair each sample with the partner branch's draw at its position."""
        # The distribution function of Beta(alpha, 1) is w^alpha, so a draw is U^(1/alpha).
        draws = rng.random(number_of_draws(self.weight_per, batch_size)) ** (1 / self.alpha)
        return pairing(batch_size + np.arange(batch_size), draws, batch_size)
