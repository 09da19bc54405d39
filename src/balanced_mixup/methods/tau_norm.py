"""Tau-normalisation of the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from balanced_mixup.methods.base import Features, Method, register
from balanced_mixup.methods.instance import Instance
from balanced_mixup.methods.linear_head import set_weights, uniform_over, weights_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from balanced_mixup.sampling import Probabilities

TAUS = tuple(round(0.1 * step, 1) for step in range(21))


@register
class TauNorm(Method):
    """After plain training the weights of each class are divided by their norm^tau (Kang et al., ICLR 2020)."""

    title: ClassVar[str] = "tau-norm"
    name: Literal["tau-norm"] = "tau-norm"
    norm_power: float | None = Field(
        None, ge=0, le=2, description="tau; if not given the one of 0, 0.1 ... 2 with the best balanced accuracy on validation."
    )

    def base(self) -> Method:
        """Return plain training."""
        return Instance()

    def finish(self, head: nn.Module, train: Features, val: Features) -> None:
        """Divide the weights, and drop the bias; of equally good tau the smallest is taken."""
        weights = weights_of(head).clone()
        taus = TAUS if self.norm_power is None else (self.norm_power,)
        scores = [_balanced_accuracy(val.values @ tau_normalised(weights, tau).T, val.labels) for tau in taus]
        set_weights(head, tau_normalised(weights, taus[scores.index(max(scores))]))

    def finished_prior(self, prior: Probabilities) -> Probabilities:
        """Return equal shares, which the method aims at: it has no prior of its own."""
        return uniform_over(prior)


def tau_normalised(weights: Tensor, tau: float) -> Tensor:
    """Return w_j (m / |w_j|)^tau for weights (K, F), where m is the mean norm, so that logits keep their size.

    Weights that are all 0 stay so.
    """
    norms = weights.norm(dim=1, keepdim=True)
    divided: Tensor = weights * (norms.mean() / norms.where(norms > 0, norms.new_ones(()))) ** tau
    return divided


def _balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    of_class = labels.bincount(minlength=logits.shape[1])
    hit = labels[logits.argmax(dim=1) == labels].bincount(minlength=logits.shape[1])
    return float((hit[of_class > 0] / of_class[of_class > 0]).double().mean())
