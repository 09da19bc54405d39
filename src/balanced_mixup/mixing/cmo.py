"""CMO: a box of an image of the class branch is pasted into an image of the instance branch (Park et al., CVPR 2022).

So rare classes are seen before the varied backgrounds of frequent ones. The two branches are those of Balanced-MixUp, with a
box in place of the weighted mean.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing.base import Mix, Pairing, WeightPer, Weights, check_weights, number_of_draws
from balanced_mixup.mixing.boxes import box_pairing, mean_box_area, paste


@dataclass(frozen=True)
class Cmo(Mix):
    """CutMix with partners of the class branch.

    Args:
        alpha: Above 0; areas of the boxes come from Beta(alpha, alpha), before they are clipped at the border.
        probability: Of pasting anything, in 0..1.
        weight_per: One box and one decision for the "batch", as in the authors' code, or one for each "sample".
    """

    needs_partners: ClassVar[bool] = True
    mixes_features: ClassVar[bool] = False

    alpha: float = 1.0
    probability: float = 0.5
    weight_per: WeightPer = "batch"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_weights(self.alpha, self.weight_per)
        if not 0 <= self.probability <= 1:
            raise UsageError(f"Expected `probability` to be in 0..1, but got {self.probability}.")

    @property
    def mean_partner_weight(self) -> float:
        """The mean area of the boxes, clipped, and of those that are not pasted."""
        return self.probability * mean_box_area(self.alpha)

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Pair each sample with the partner branch's draw at its position."""
        draws = number_of_draws(self.weight_per, batch_size)
        area, centre = rng.beta(self.alpha, self.alpha, draws), rng.random((draws, 2))
        area = np.where(rng.random(draws) < self.probability, area, 0.0)
        return box_pairing(batch_size + np.arange(batch_size), area, centre, batch_size)

    def mix_images(self, images: Tensor, partners: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        """Paste the boxes; returns the images and the area that each covers."""
        return paste(images, partners, weights.box)
