"""Logit-adjusted loss."""

from typing import ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Tau


@register
class LogitAdjustedLoss(Method):
    """Class frequency is added to logits in training; tau 1 is balanced softmax (Menon et al., ICLR 2021)."""

    title: ClassVar[str] = "Logit-adjusted"
    correctable: ClassVar[bool] = True
    name: Literal["logit-adjusted"] = "logit-adjusted"
    tau: Tau = 1.0

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.LogitAdjusted(data.counts, self.tau)),)
