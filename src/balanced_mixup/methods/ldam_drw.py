"""LDAM with deferred re-weighting."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Beta, Margin

if TYPE_CHECKING:
    from balanced_mixup.heads import Head


@register
class LdamDrw(Method):
    """LDAM whose last epochs weigh classes by effective number (Cao et al., NeurIPS 2019)."""

    title: ClassVar[str] = "LDAM-DRW"
    name: Literal["ldam-drw"] = "ldam-drw"
    margin: Margin = 0.5
    beta: Beta = 0.9999
    drw_start: float = Field(0.8, gt=0, lt=1, description="Share of the epochs before the class weights come in.")

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return LDAM on plain sampling, and the same with class weights."""
        loss = losses.Ldam(data.counts, self.margin)
        weighted = loss.weighted(losses.effective_number_weights(data.counts, self.beta))
        return (
            Stage(data.instance_branch(), loss=loss, share=self.drw_start),
            Stage(data.instance_branch(), loss=weighted, share=1 - self.drw_start, name="re-weighted"),
        )

    def head(self) -> Head:
        """Return the head that the loss needs."""
        from balanced_mixup.heads import Cosine

        return Cosine()
