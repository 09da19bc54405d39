"""Class-balanced loss."""

from typing import ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Beta


@register
class CbLoss(Method):
    """Cross-entropy weighted by effective number on plain sampling (Cui et al., CVPR 2019)."""

    title: ClassVar[str] = "CB Loss"
    name: Literal["cb-loss"] = "cb-loss"
    beta: Beta = 0.9999

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the class-balanced loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.ClassBalanced(data.counts, self.beta)),)
