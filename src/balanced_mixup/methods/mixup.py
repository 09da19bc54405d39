"""MixUp."""

from typing import ClassVar, Literal

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Alpha, WeightPer


@register
class MixUp(Method):
    """MixUp of a batch with itself (Zhang et al., ICLR 2018; Eq. 1)."""

    title: ClassVar[str] = "MixUp"
    correctable: ClassVar[bool] = True
    name: Literal["mixup"] = "mixup"
    alpha: Alpha = 0.2
    weight_per: WeightPer = "sample"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of MixUp on plain sampling."""
        return (Stage(data.instance_branch(), mix=mixing.MixUp(self.alpha, self.weight_per)),)
