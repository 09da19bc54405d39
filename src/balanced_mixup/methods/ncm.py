"""Nearest class mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from balanced_mixup.methods.base import Features, Method, register
from balanced_mixup.methods.instance import Instance
from balanced_mixup.methods.linear_head import counts_of, set_weights, uniform_over, weights_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from balanced_mixup.sampling import Probabilities

_SCALES = tuple(2.0 ** (step / 2) for step in range(-8, 21))  # 1/16 to 1024


@register
class Ncm(Method):
    """After plain training the class whose mean feature has the largest cosine (Kang et al., ICLR 2020).

    As a linear head: its weights are the normalised class means, times the factor with the smallest log loss on validation,
    which makes probabilities of cosines. The length of an image's own feature changes no decision.
    """

    title: ClassVar[str] = "NCM"
    name: Literal["ncm"] = "ncm"

    def base(self) -> Method:
        """Return plain training."""
        return Instance()

    def finish(self, head: nn.Module, train: Features, val: Features) -> None:
        """Replace the weights by the means, and drop the bias."""
        import torch.nn.functional as F

        means = class_means(train, len(weights_of(head)))
        logits = val.values @ means.T
        losses = [F.cross_entropy(scale * logits, val.labels).item() for scale in _SCALES]
        set_weights(head, _SCALES[losses.index(min(losses))] * means)

    def finished_prior(self, prior: Probabilities) -> Probabilities:
        """Return equal shares: the number of images of a class has no part in its mean."""
        return uniform_over(prior)


def class_means(train: Features, num_classes: int) -> Tensor:
    """Return the mean of the normalised features of each class, normalised, (K, F).

    A class without images gets the direction opposite to the mean of all, which is no image's nearest.
    """
    import torch.nn.functional as F

    values = F.normalize(train.values, dim=1)
    sums = values.new_zeros(num_classes, values.shape[1]).index_add_(0, train.labels, values)
    sums[counts_of(train, num_classes) == 0] = -values.sum(dim=0)
    return F.normalize(sums, dim=1)
