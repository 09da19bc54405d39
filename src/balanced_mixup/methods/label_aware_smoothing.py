"""Label-aware smoothing."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class LabelAwareSmoothingLoss(Method):
    """Labels of frequent classes are smoothed more (Zhong et al., CVPR 2021)."""

    title: ClassVar[str] = "LAS"
    name: Literal["label-aware-smoothing"] = "label-aware-smoothing"
    smooth_head: float = Field(0.3, ge=0, le=1, description="Share of a label spread over all classes, most frequent class.")
    smooth_tail: float = Field(0.0, ge=0, le=1, description="Share of a label spread over all classes, rarest class.")

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        loss = losses.LabelAwareSmoothing(data.counts, self.smooth_head, self.smooth_tail)
        return (Stage(data.instance_branch(), loss=loss),)
