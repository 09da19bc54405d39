"""LDAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Margin

if TYPE_CHECKING:
    from balanced_mixup.heads import Head


@register
class LdamLoss(Method):
    """Larger margins for rarer classes, on cosines (Cao et al., NeurIPS 2019)."""

    title: ClassVar[str] = "LDAM"
    name: Literal["ldam"] = "ldam"
    margin: Margin = 0.5

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.Ldam(data.counts, self.margin)),)

    def head(self) -> Head:
        """Return the head that the loss needs."""
        from balanced_mixup.heads import Cosine

        return Cosine()
