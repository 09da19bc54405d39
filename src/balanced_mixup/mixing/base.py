"""The interface of a mix, and the arithmetic that all of them share, on any device.

Notable decisions
- A weight under 1/510, half a grey level of an 8-bit image, cannot change that image: it counts as 0 and the partner is
  never read (54 % of the draws of Balanced-MixUp at alpha = 0.1, 29 % at 0.2).
- One weight for the whole batch is the paper's protocol ("batch"); one for each image ("sample") has less variance.
- Images and targets have separate weights, as they differ in Remix. Where a mix pastes a box (CutMix), the weight of the target
  is the box's share of the pixels, known when the image is.
- A mix knows the proportions of the classes in its targets (`target_proportions`), from which the class prior follows.
- After mixing there are only soft targets (B, K), whose rows sum to 1.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.errors import UsageError

NEGLIGIBLE = 1 / 510
WeightPer = Literal["batch", "sample"]
Proportions = npt.NDArray[np.float64]


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Return int64 labels (B,) as float32 targets (B, K)."""
    return torch.nn.functional.one_hot(labels, num_classes).float()


def mix(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Return (1 - w) first + w second.

    Args:
        first: (B, ...), images, features or targets.
        second: The same shape.
        weight: (B,), the weight of `second`; exactly 0 gives `first` bit for bit, 1 gives `second`.

    Raises:
        UsageError: `first` holds integers, such as 8-bit pixels, which cannot be interpolated.
    """
    if not first.is_floating_point():
        raise UsageError(
            f"Expected floating-point tensors to mix, but got {first.dtype}. Convert images with `images.float()`."
        )
    return torch.lerp(first, second, weight.to(first.dtype).reshape(-1, *[1] * (first.ndim - 1)))


class Pairing(NamedTuple):
    """How the B samples of a step are mixed.

    partner: int64 (B,), position of each sample's partner among the candidates: 0..B-1 are the batch itself, B..2B-1 the draws
    of the partners' branch, if the stage has one. A sample that is not mixed is its own partner.
    weight: float32 (B,), the weight of the partner's image, 0 where it would be under 1/510.
    target_weight: float32 (B,), the weight of the partner's target; where there is a box, nearly so: the box counts.
    box: float32 (B, 4), of a mix that pastes: top, left, bottom and right of the box that the partner's image fills, as
    fractions of height and width; None for the others.
    """

    partner: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    target_weight: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32] | None = None


class Weights(NamedTuple):
    """The weights of a `Pairing` on the device: image (B,), target (B,), box (B, 4), float32."""

    image: Tensor
    target: Tensor
    box: Tensor


class Mix(ABC):
    """How the samples of a step are paired and mixed.

    A mix that is not linear in the images (CutMix pastes a box) overrides `mix_images`; one whose target weights depend on the
    classes (Remix) overrides `target_proportions`.
    """

    needs_partners: ClassVar[bool] = False
    """Partners come from a second branch (`Stage.partners`), not from the batch itself."""

    mixes_features: ClassVar[bool] = True
    """It can mix feature vectors, too, in a stage that trains the head alone."""

    @property
    def mean_partner_weight(self) -> float:
        """The mean weight of a partner's target; 0 where partners are of the batch itself, whose classes they do not change."""
        return 0.0

    @abstractmethod
    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Draw partners and weights for a step.

        Args:
            labels: int64 (B,), or (2B,) with the draws of the partners' branch: the class of each candidate.
            batch_size: B.
            rng: Source of all draws.
        """

    def mix_images(self, images: Tensor, partners: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        """Return mixed images and the weight of their partners' targets (B,).

        Args:
            images: (B, 3, H, W), or features (B, F).
            partners: The same shape.
            weights: Of the partners.
        """
        return mix(images, partners, weights.image), weights.target

    def target_proportions(self, own: Proportions, partners: Proportions | None) -> Proportions:
        """Return the expected proportion of each class in the targets, float64 (K,).

        Args:
            own: (K,), the class probabilities of the samples.
            partners: (K,), those of the partners' branch, if there is one.
        """
        if partners is None:
            return own
        return (1 - self.mean_partner_weight) * own + self.mean_partner_weight * partners


class NoMix(Mix):
    """Each image by itself."""

    def pair(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Pairing:
        """Return the batch as its own partner, with weight 0."""
        return pairing(np.arange(batch_size), np.zeros(batch_size), batch_size)


def check_weights(alpha: float, weight_per: str) -> None:
    """Raise UsageError for invalid settings of mixing weights."""
    if not (np.isfinite(alpha) and alpha > 0):
        raise UsageError(f"Expected `alpha` to be a number above 0, but got {alpha}.")
    if weight_per not in ("batch", "sample"):
        raise UsageError(f"Expected `weight_per` to be 'batch' or 'sample', but got {weight_per!r}.")


def number_of_draws(weight_per: WeightPer, batch_size: int) -> int:
    """Return the number of weights drawn per step."""
    return 1 if weight_per == "batch" else batch_size


def pairing(partner: npt.NDArray[np.int64], draws: npt.NDArray[np.float64], batch_size: int) -> Pairing:
    """Return the pairing with the same weights for images and targets; negligible ones become 0.

    Args:
        partner: int64 (B,), positions among the candidates.
        draws: (1,) or (B,), the weights.
        batch_size: B.
    """
    weight = np.broadcast_to(np.where(draws < NEGLIGIBLE, 0.0, draws), batch_size).astype(np.float32)
    return Pairing(np.where(weight > 0, partner, np.arange(batch_size)), weight, weight)


def paired_proportions(own: Proportions, partners: Proportions, target_weight: npt.NDArray[np.float64]) -> Proportions:
    """Return the expected proportion of each class in the targets (K,), where the weights depend on both classes.

    Args:
        own, partners: (K,), the class probabilities of samples and, independent of them, of their partners.
        target_weight: (K, K), the mean weight of the target of a partner of class j for a sample of class i.
    """
    joint = np.outer(own, partners)
    proportions: Proportions = (joint * (1 - target_weight)).sum(1) + (joint * target_weight).sum(0)
    return proportions


def beta_quadrature(alpha: float) -> tuple[Proportions, Proportions]:
    """Return points w (M,) from 0 to 1 and their probabilities (M,), for means over w ~ Beta(alpha, alpha).

    They are equidistant in log(w / (1 - w)), where the density ~ (w (1 - w))^alpha is smooth for any alpha.
    """
    x = np.linspace(-40, 40, 20_001) / min(1.0, alpha)
    density = np.exp(-alpha * (np.logaddexp(0, x) + np.logaddexp(0, -x)))
    return np.exp(-np.logaddexp(0, -x)), density / density.sum()
