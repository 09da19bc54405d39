"""CORAL."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register

if TYPE_CHECKING:
    from balanced_mixup.heads import Head


@register
class CoralGrades(Method):
    """Grades by thresholds on one scale, K - 1 outputs (Cao et al., Pattern Recognition Letters 2020)."""

    title: ClassVar[str] = "CORAL"
    name: Literal["coral"] = "coral"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.Coral()),)

    def head(self) -> Head:
        """Return the head that the loss needs."""
        from balanced_mixup.heads import Coral

        return Coral()
