"""Focal loss."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class FocalLoss(Method):
    """Focal loss on plain sampling (Lin et al., ICCV 2017)."""

    title: ClassVar[str] = "Focal Loss"
    correctable: ClassVar[bool] = True
    name: Literal["focal"] = "focal"
    gamma: float = Field(
        2.0, ge=0, description="Focusing parameter: the larger, the less well-classified images count; 0 is cross-entropy."
    )

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the focal loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.Focal(self.gamma)),)
