"""Gaussian clouded logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import HeadEpochs

if TYPE_CHECKING:
    from balanced_mixup.heads import Head


@register
class Gcl(Method):
    """Noise on the cosines of rare classes, then a head on class sampling (Li et al., CVPR 2022)."""

    title: ClassVar[str] = "GCL"
    name: Literal["gcl"] = "gcl"
    noise: float = Field(0.5, ge=0, description="Factor of the noise on the rarest class, as a cosine.")
    head_epochs: HeadEpochs = 10

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return the loss on plain sampling, then cross-entropy of the head alone on class sampling."""
        return (
            Stage(data.instance_branch(), loss=losses.GaussianClouded(data.counts, self.noise)),
            Stage(data.class_branch(), trains="head", epochs=self.head_epochs, name="head"),
        )

    def head(self) -> Head:
        """Return the head that the loss needs."""
        from balanced_mixup.heads import Cosine

        return Cosine()
