"""LDAM: cross-entropy of s (cos_k - m_k Y_k), with larger margins m for rarer classes (Cao et al., NeurIPS 2019)."""

import torch
from torch import Tensor

from balanced_mixup.losses.base import Loss, Reduction, at_least_0
from balanced_mixup.losses.class_counts import positive_counts
from balanced_mixup.sampling import Labels, Probabilities


class Ldam(Loss):
    """Label-distribution-aware margin loss: the cosine of the target class has to win by a margin ~ n^(-1/4).

    Of a soft target, each class has its margin in proportion to its share.
    """

    head = "cosine"
    margins: Tensor

    def __init__(self, counts: Labels, margin: float = 0.5, scale: float = 30.0, reduction: Reduction = "mean") -> None:
        """Compute the margins.

        Args:
            counts: (K,), training samples of each class; one without samples counts as the rarest of the others.
            margin: Margin of the rarest class, as a cosine; at least 0.
            scale: That of the cosine head, by which outputs are cosines.
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        n = positive_counts(counts)
        margins = scale * at_least_0(margin=margin) * (n.min() / n) ** 0.25
        self.register_buffer("margins", torch.from_numpy(margins).float(), persistent=False)

    def adjusted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the scaled cosines less the margins of the targets."""
        return outputs - self.margins * targets

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -log p."""
        return -torch.log_softmax(outputs, dim=1)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return the proportions: where both margins are large, two cosines are equal where the classes are equally probable.

        The probabilities themselves are pushed away from there by the margins, so that they say more than is known.
        """
        return proportions
