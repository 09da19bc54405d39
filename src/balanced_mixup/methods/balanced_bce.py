"""Balanced binary cross-entropy."""

from typing import ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class BalancedBceLoss(Method):
    """A sigmoid for each class, moved by its frequency in training (Xu et al., CVPR 2023)."""

    title: ClassVar[str] = "Balanced BCE"
    name: Literal["balanced-bce"] = "balanced-bce"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.BalancedBce(data.counts)),)
