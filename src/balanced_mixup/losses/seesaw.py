"""Seesaw loss: samples of y push rarer classes j down less, and those more that they are mistaken for (Wang et al., CVPR 2021).

z_j + log(M_yj C_yj) for j != y;  M_yj = min(1, n_j / n_y)^p;  C_yj = max(1, p_j / max(p_y, 0.01))^q
"""

import math

import numpy as np
import torch
from torch import Tensor

from balanced_mixup.losses.base import Loss, Reduction, at_least_0
from balanced_mixup.losses.class_counts import positive_counts
from balanced_mixup.sampling import Labels, Probabilities

_LEAST_PROBABILITY = 0.01
_STEPS = 200  # of a fixed-point iteration


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
        self.compensation = at_least_0(compensation=compensation)
        log_n = np.log(positive_counts(counts))
        log_m = at_least_0(mitigation=mitigation) * np.minimum(0, log_n - log_n[:, None])
        self.register_buffer("log_mitigation", torch.from_numpy(log_m).float(), persistent=False)

    def per_class_loss(self, outputs: Tensor) -> Tensor:
        """Return -log p_y, for each class y among the outputs as it sees them."""
        return -self._seen(outputs).log_softmax(dim=2).diagonal(dim1=1, dim2=2)

    def _seen(self, outputs: Tensor) -> Tensor:
        """Return z_j + log(M_yj C_yj), (B, K, K), for each target class y and class j."""
        log_p = outputs.detach().log_softmax(dim=1)
        excess = log_p[:, None, :] - log_p.clamp_min(math.log(_LEAST_PROBABILITY))[:, :, None]  # log p_j - log p_y
        return outputs[:, None, :] + self.log_mitigation + self.compensation * excess.clamp_min(0)

    def taught_prior(self, proportions: Probabilities) -> Probabilities:
        """Return what the outputs say where images say nothing: by them the mean probability of a class is its proportion."""
        shares = torch.from_numpy(proportions).to(self.log_mitigation.device)
        outputs = shares.log()
        for _ in range(_STEPS):
            mean = shares @ self._seen(outputs[None])[0].softmax(dim=1)
            outputs = torch.where(shares > 0, outputs + (shares.log() - mean.log()) / 2, -torch.inf)
        prior: Probabilities = outputs.softmax(dim=0).cpu().numpy()
        return prior
