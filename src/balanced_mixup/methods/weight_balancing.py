"""Weight balancing."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, OptimizerSettings, Stage, TrainSet, register
from balanced_mixup.methods.settings import Beta, HeadEpochs


@register
class WeightBalancing(Method):
    """Strong weight decay, then a head of bounded weights under the CB loss (Alshammari et al., CVPR 2022)."""

    title: ClassVar[str] = "Weight balancing"
    name: Literal["weight-balancing"] = "weight-balancing"
    strong_decay: float = Field(
        0.1, ge=0, description="Weight decay of the first stage: ten times the recipe's default; 0.005 in the paper, with SGD."
    )
    head_decay: float = Field(0.1, ge=0, description="Weight decay of the head's stage.")
    head_rate: float = Field(0.01, gt=0, description="Learning rate of the head's stage.")
    max_norm: float = Field(0.1, gt=0, description="Longest weights of a class in the head's stage.")
    beta: Beta = 0.9999
    head_epochs: HeadEpochs = 10

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return plain training with that decay, and a stage of the head that it has trained."""
        head = Stage(
            data.instance_branch(),
            loss=losses.ClassBalanced(data.counts, self.beta),
            trains="head",
            max_norm=self.max_norm,
            epochs=self.head_epochs,
            optimizer=OptimizerSettings(
                learning_rate=self.head_rate, weight_decay=self.head_decay, schedule="cosine", warmup=0.0
            ),
            name="head",
        )
        return (Stage(data.instance_branch(), optimizer=OptimizerSettings(weight_decay=self.strong_decay)), head)
