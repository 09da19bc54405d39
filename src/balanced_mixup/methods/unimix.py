"""UniMix and Bayias."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses, mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Alpha


@register
class UniMix(Method):
    """MixUp whose partners and weights favour rare classes, and logit adjustment, Bayias (Xu et al., NeurIPS 2021)."""

    title: ClassVar[str] = "UniMix"
    name: Literal["unimix"] = "unimix"
    alpha: Alpha = 0.8
    exponent: float = Field(
        -0.1, ge=-10, le=1, description="Partners are drawn from the batch in proportion to this power of their class's size."
    )

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of UniMix on plain sampling, with the loss that compensates for the class frequencies."""
        mix = mixing.UniMix(data.counts, self.alpha, self.exponent)
        return (Stage(data.instance_branch(), mix=mix, loss=losses.LogitAdjusted(data.counts)),)
