"""Balanced-MixUp."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register


@register
class BalancedMixUp(Method):
    """Plain sampling mixed with class sampling (Galdran et al., MICCAI 2021; Eq. 3)."""

    title: ClassVar[str] = "Bal-Mxp"
    name: Literal["balanced-mixup"] = "balanced-mixup"
    alpha: float = Field(
        0.2,
        gt=0,
        le=100,
        description="Mixing weights come from Beta(alpha, 1) in balanced-mixup, where their mean is alpha / (1 + alpha), and "
        "from Beta(alpha, alpha) in mixup.",
    )
    weight_per: Literal["batch", "sample"] = Field("sample", description="One mixing weight for each batch or each sample.")

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage whose samples of the instance branch are mixed with partners of the class branch."""
        mix = mixing.BalancedMixUp(self.alpha, self.weight_per)
        return (Stage(data.instance_branch(), partners=data.class_branch(), mix=mix),)
