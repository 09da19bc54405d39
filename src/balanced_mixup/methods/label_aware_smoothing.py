"""Label-aware smoothing."""

from typing import ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import SmoothHead, SmoothTail


@register
class LabelAwareSmoothingLoss(Method):
    """Labels of frequent classes are smoothed more (Zhong et al., CVPR 2021)."""

    title: ClassVar[str] = "LAS"
    name: Literal["label-aware-smoothing"] = "label-aware-smoothing"
    smooth_head: SmoothHead = 0.3
    smooth_tail: SmoothTail = 0.0

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        loss = losses.LabelAwareSmoothing(data.counts, self.smooth_head, self.smooth_tail)
        return (Stage(data.instance_branch(), loss=loss),)
