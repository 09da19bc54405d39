"""Class-balanced loss."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class CbLoss(Method):
    """Cross-entropy weighted by effective number on plain sampling (Cui et al., CVPR 2019)."""

    title: ClassVar[str] = "CB Loss"
    name: Literal["cb-loss"] = "cb-loss"
    beta: float = Field(0.9999, ge=0, lt=1, description="0 weights all classes equally; towards 1 by inverse frequency.")

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the class-balanced loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.ClassBalanced(data.counts, self.beta)),)
