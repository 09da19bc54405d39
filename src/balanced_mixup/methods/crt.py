"""Classifier re-training."""

from typing import ClassVar, Literal

from balanced_mixup.methods.base import Method, OptimizerSettings, Stage, TrainSet, register
from balanced_mixup.methods.instance import Instance
from balanced_mixup.methods.settings import HeadEpochs


@register
class Crt(Method):
    """After plain training a new head on class sampling, behind a frozen backbone (Kang et al., ICLR 2020)."""

    title: ClassVar[str] = "cRT"
    name: Literal["crt"] = "crt"
    head_epochs: HeadEpochs = 10

    def base(self) -> Method:
        """Return plain training."""
        return Instance()

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of a new head; its learning rate goes to 0 by a cosine."""
        optimizer = OptimizerSettings(schedule="cosine", warmup=0.0)
        stage = Stage(
            data.class_branch(), trains="head", new_head=True, epochs=self.head_epochs, optimizer=optimizer, name="head"
        )
        return (stage,)
