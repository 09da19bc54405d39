"""Class weights."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class ClassWeights(Method):
    """Cross-entropy weighted by inverse class frequency, or its square root (King and Zeng, 2001)."""

    title: ClassVar[str] = "Class weights"
    name: Literal["class-weights"] = "class-weights"
    weighting: Literal["balanced", "sqrt"] = Field(
        "balanced", description="By inverse class frequency (balanced), or by its square root (sqrt)."
    )

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the weighted loss on plain sampling."""
        loss = losses.CrossEntropy().weighted(losses.frequency_weights(data.counts, self.weighting))
        return (Stage(data.instance_branch(), loss=loss),)
