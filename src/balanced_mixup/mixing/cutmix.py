"""CutMix: a box of another image of the batch is pasted into each image (Yun et al., ICCV 2019).

The area of the box is w ~ Beta(alpha, alpha), its centre uniform; targets are mixed by the area that is really pasted.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from balanced_mixup.mixing.base import Mix, Pairing, WeightPer, Weights, check_weights, number_of_draws
from balanced_mixup.mixing.boxes import box_pairing, paste


@dataclass(frozen=True)
class CutMix(Mix):
    """CutMix of a batch with itself.

    Args:
        alpha: Above 0; 1, the authors' choice, draws areas uniformly.
        weight_per: One box for the "batch", as in the authors' code, or one for each "sample".
    """

    mixes_features: ClassVar[bool] = False

    alpha: float = 1.0
    weight_per: WeightPer = "batch"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_weights(self.alpha, self.weight_per)

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Draw the boxes and a permutation of the batch."""
        draws = number_of_draws(self.weight_per, batch_size)
        area, centre = rng.beta(self.alpha, self.alpha, draws), rng.random((draws, 2))
        return box_pairing(rng.permutation(batch_size), area, centre, batch_size)

    def mix_images(self, images: Tensor, partners: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        """Paste the boxes; returns the images and the area that each covers."""
        return paste(images, partners, weights.box)
