"""Remix."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import mixing
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Alpha, WeightPer


@register
class Remix(Method):
    """MixUp whose labels favour the rarer class (Chou et al., ECCV workshops 2020)."""

    title: ClassVar[str] = "Remix"
    name: Literal["remix"] = "remix"
    alpha: Alpha = 1.0
    weight_per: WeightPer = "sample"
    kappa: float = Field(3.0, gt=1, description="A class with this many times more images than the other counts as frequent.")
    threshold: float = Field(
        0.5, ge=0, le=1, description="A frequent class with less weight than this in the image has none in the label."
    )

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of Remix on plain sampling."""
        mix = mixing.Remix(data.counts, self.alpha, self.kappa, self.threshold, self.weight_per)
        return (Stage(data.instance_branch(), mix=mix),)
