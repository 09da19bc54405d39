"""Seesaw loss."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class SeesawLoss(Method):
    """Samples of frequent classes push rare ones down less (Wang et al., CVPR 2021)."""

    title: ClassVar[str] = "Seesaw"
    name: Literal["seesaw"] = "seesaw"
    mitigation: float = Field(0.8, ge=0, description="Power of n_rare / n_frequent by which a rare class is pushed down less.")
    compensation: float = Field(2.0, ge=0, description="Power by which a class is pushed down more where it is mistaken.")

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        loss = losses.Seesaw(data.counts, self.mitigation, self.compensation)
        return (Stage(data.instance_branch(), loss=loss),)
