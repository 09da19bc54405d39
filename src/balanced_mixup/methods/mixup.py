"""MixUp."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class MixUp(Method):
    """MixUp of a batch with itself (Zhang et al., ICLR 2018; Eq. 1)."""

    title: ClassVar[str] = "MixUp"
    name: Literal["mixup"] = "mixup"
    alpha: float = Field(
        0.2,
        gt=0,
        le=100,
        description="Mixing weights come from Beta(alpha, 1) in balanced-mixup, where their mean is alpha / (1 + alpha), and "
        "from Beta(alpha, alpha) in mixup.",
    )
    weight_per: Literal["batch", "sample"] = Field("sample", description="One mixing weight for each batch or each sample.")

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of MixUp on plain sampling."""
        return (Stage(data.instance_branch(), mix=mixing.MixUp(self.alpha, self.weight_per)),)
