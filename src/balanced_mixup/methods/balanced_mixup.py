"""Balanced-MixUp."""

from typing import ClassVar, Literal

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Alpha, WeightPer


@register
class BalancedMixUp(Method):
    """Plain sampling mixed with class sampling (Galdran et al., MICCAI 2021; Eq. 3)."""

    title: ClassVar[str] = "Bal-Mxp"
    correctable: ClassVar[bool] = True
    name: Literal["balanced-mixup"] = "balanced-mixup"
    alpha: Alpha = 0.2
    weight_per: WeightPer = "sample"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage whose samples of the instance branch are mixed with partners of the class branch."""
        mix = mixing.BalancedMixUp(self.alpha, self.weight_per)
        return (Stage(data.instance_branch(), partners=data.class_branch(), mix=mix),)
