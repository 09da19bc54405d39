"""Learnable weight scaling."""

from typing import ClassVar, Literal

from balanced_mixup.methods.base import Method, OptimizerSettings, Stage, TrainSet, register
from balanced_mixup.methods.instance import Instance
from balanced_mixup.methods.settings import HeadEpochs


@register
class Lws(Method):
    """After plain training one factor for the logit of each class, on class sampling (Kang et al., ICLR 2020)."""

    title: ClassVar[str] = "LWS"
    name: Literal["lws"] = "lws"
    head_epochs: HeadEpochs = 10

    def base(self) -> Method:
        """Return plain training."""
        return Instance()

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the factors, which start at 1; backbone and head are frozen."""
        optimizer = OptimizerSettings(learning_rate=SCALES_RATE, schedule="cosine", warmup=0.0)
        return (Stage(data.class_branch(), trains="scales", epochs=self.head_epochs, optimizer=optimizer, name="scales"),)


SCALES_RATE = 0.01
"""Learning rate of the factors: K numbers around 1, for which that of a whole network is too small."""
