"""MixUp of a batch with itself in another order (Eq. 1; Zhang et al., ICLR 2018), w ~ Beta(alpha, alpha)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.mixing.base import Mix, Pairing, WeightPer, check_weights, mix, number_of_draws, pairing


@dataclass(frozen=True)
class MixUp(Mix):
    """MixUp of a batch with itself.

    Args:
        alpha: Above 0; small values keep mixed images close to one of the two.
        weight_per: One weight for the "batch", or one for each "sample".
    """

    alpha: float = 0.2
    weight_per: WeightPer = "batch"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_weights(self.alpha, self.weight_per)

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Draw the weights and a permutation of the batch."""
        draws = rng.beta(self.alpha, self.alpha, number_of_draws(self.weight_per, batch_size))
        return pairing(rng.permutation(batch_size), draws, batch_size)


def mixup(
    images: Tensor, targets: Tensor, rng: np.random.Generator, *, alpha: float = 0.2, weight_per: WeightPer = "batch"
) -> tuple[Tensor, Tensor]:
    """Return a batch mixed with itself in another order (Eq. 1), on its device.

        images, targets = mixup(images, one_hot(labels, num_classes), generator(seed, "mixup", epoch, step))

    Args:
        images: (B, ...).
        targets: (B, K).
        rng: See `randomness.generator`.
        alpha, weight_per: As for `MixUp`.
    """
    b = len(images)
    paired = MixUp(alpha, weight_per).pair(np.zeros(b, np.int64), b, rng)
    partner, weight = (torch.from_numpy(array).to(images.device) for array in (paired.partner, paired.weight))
    return mix(images, images[partner], weight), mix(targets, targets[partner], weight)
