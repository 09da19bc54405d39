"""Seesaw loss: samples of y push rarer classes j down less, and those more that they are mistaken for (Wang et al., CVPR 2021).

z_j + log(M_yj C_yj) for j != y;  M_yj = min(1, n_j / n_y)^p;  C_yj = max(1, p_j / max(p_y, 0.01))^q
"""

import numpy as np
import torch
from torch import Tensor

from balanced_mixup.errors import UsageError
from balanced_mixup.losses.base import Loss, Reduction, normalised
from balanced_mixup.losses.class_counts import positive_counts
from balanced_mixup.sampling import Labels, Probabilities

_LEAST_PROBABILITY = 0.01


class Seesaw(Loss):
    """Seesaw loss; that of a soft target is the expectation over its classes.

    The authors accumulate the counts n while they train. Only their ratios matter, and those converge to the ratios in the
    training set, which are used here from the start: so the loss has no state, and a resumed training ends with the same bits.
    """

    log_mitigation: Tensor

    def __init__(
        self, counts: Labels, mitigation: float = 0.8, compensation: float = 2.0, reduction: Reduction = "mean"
    ) -> None:
        """Compute log M.

        Args:
            counts: (K,), training samples of each class; one without samples counts as the rarest of the others.
            mitigation: p, at least 0.
            compensation: q, at least 0.
            reduction: As in `Loss`.
        """
        super().__init__(reduction)
        for name, value in (("mitigation", mitigation), ("compensation", compensation)):
            if not 0 <= value < np.inf:
                raise UsageError(f"Expected `{name}` to be at least 0, but got {value}.")
        self.mitigation, self.compensation, self.counts = mitigation, compensation, positive_counts(counts)
        log_n = np.log(self.counts)
        log_m = mitigation * np.minimum(0, log_n - log_n[:, None])
        self.register_buffer("log_mitigation", torch.from_numpy(log_m).float(), persistent=False)

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -log p_y, each class y among its own outputs, moved (B, K, K): the other classes j are the last dimension."""
        log_p = outputs.detach().log_softmax(dim=1)
        excess = log_p[:, None, :] - log_p.clamp_min(np.log(_LEAST_PROBABILITY))[:, :, None]  # log p_j - log p_y
        moved = outputs[:, None, :] + self.log_mitigation + self.compensation * excess.clamp_min(0)
        return -moved.log_softmax(dim=2).diagonal(dim1=1, dim2=2)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return proportions / n^p, normalised, as of a logit adjustment by tau = p: about right for plain sampling."""
        return normalised(proportions * self.counts**-self.mitigation)
