"""BBN-mix."""

from typing import ClassVar, Literal

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Alpha, WeightPer


@register
class BbnMix(Method):
    """Plain sampling mixed with its reverse, classes by 1 / n (Zhang et al., AAAI 2021)."""

    title: ClassVar[str] = "BBN-mix"
    name: Literal["bbn-mix"] = "bbn-mix"
    alpha: Alpha = 0.2
    weight_per: WeightPer = "sample"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage whose samples of the instance branch are mixed with partners of the reverse branch."""
        return (
            Stage(data.instance_branch(), partners=data.class_branch(-1.0), mix=mixing.BbnMix(self.alpha, self.weight_per)),
        )
