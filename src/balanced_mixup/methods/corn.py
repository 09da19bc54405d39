"""CORN."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register

if TYPE_CHECKING:
    from balanced_mixup.heads import Head


@register
class CornGrades(Method):
    """Grades by conditional thresholds, K - 1 outputs (Shi et al., Pattern Analysis and Applications 2023)."""

    title: ClassVar[str] = "CORN"
    name: Literal["corn"] = "corn"

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.Corn()),)

    def head(self) -> Head:
        """Return the head that the loss needs."""
        from balanced_mixup.heads import Corn

        return Corn()
