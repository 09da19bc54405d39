"""Post-hoc logit adjustment."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from balanced_mixup.methods.base import Features, Method, register
from balanced_mixup.methods.instance import Instance
from balanced_mixup.methods.linear_head import counts_of, set_weights, weights_of
from balanced_mixup.methods.settings import Tau

if TYPE_CHECKING:
    from torch import nn

    from balanced_mixup.sampling import Probabilities


@register
class PostHocAdjustment(Method):
    """After plain training class frequency is subtracted from logits (Menon et al., ICLR 2021)."""

    title: ClassVar[str] = "Post-hoc LA"
    name: Literal["post-hoc-adjustment"] = "post-hoc-adjustment"
    tau: Tau = 1.0

    def base(self) -> Method:
        """Return plain training."""
        return Instance()

    def finish(self, head: nn.Module, train: Features, val: Features) -> None:
        """Subtract tau log(n / N) from the bias; that of a class without images stays."""
        import torch

        counts = counts_of(train, len(weights_of(head))).double()
        shift = torch.where(counts > 0, self.tau * (counts.clamp_min(1) / counts.sum()).log(), counts.new_zeros(()))
        bias: torch.Tensor | None = getattr(head, "bias", None)
        before = shift.new_zeros(len(shift)) if bias is None else bias.clone()
        set_weights(head, weights_of(head).clone(), before - shift.to(before.dtype))

    def finished_prior(self, prior: Probabilities) -> Probabilities:
        """Return the shares of the classes to the power of 1 - tau: equal ones for tau 1."""
        import numpy as np

        powers: Probabilities = np.where(prior > 0, np.where(prior > 0, prior, 1.0) ** (1 - self.tau), 0.0)
        shares: Probabilities = powers / powers.sum()
        return shares
