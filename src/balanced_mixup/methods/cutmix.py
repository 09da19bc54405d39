"""CutMix."""

from typing import ClassVar, Literal

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Alpha, WeightPer


@register
class CutMix(Method):
    """A box of another image of the batch pasted into each image (Yun et al., ICCV 2019)."""

    title: ClassVar[str] = "CutMix"
    name: Literal["cutmix"] = "cutmix"
    alpha: Alpha = 1.0
    weight_per: WeightPer = "sample"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of CutMix on plain sampling."""
        return (Stage(data.instance_branch(), mix=mixing.CutMix(self.alpha, self.weight_per)),)
