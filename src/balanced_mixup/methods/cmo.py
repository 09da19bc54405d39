"""CMO: context-rich minority oversampling."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Alpha, WeightPer


@register
class Cmo(Method):
    """CutMix of plain sampling, background, with class sampling, box (Park et al., CVPR 2022)."""

    title: ClassVar[str] = "CMO"
    name: Literal["cmo"] = "cmo"
    alpha: Alpha = 1.0
    weight_per: WeightPer = "sample"
    probability: float = Field(0.5, gt=0, le=1, description="Probability of a box in an image (or a batch).")
    plain_epochs: int = Field(
        3, ge=0, description="Epochs without boxes at the start, and as many at the end; each at most a quarter of all."
    )

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return plain training, CMO, and plain training again."""
        mix = mixing.Cmo(self.alpha, self.probability, self.weight_per)
        plain = min(self.plain_epochs, data.epochs // 4)
        if not plain:
            return (Stage(data.instance_branch(), partners=data.class_branch(), mix=mix),)
        return (
            Stage(data.instance_branch(), epochs=plain, name="start"),
            Stage(data.instance_branch(), partners=data.class_branch(), mix=mix, epochs=data.epochs - 2 * plain, name="boxes"),
            Stage(data.instance_branch(), epochs=plain, name="end"),
        )
