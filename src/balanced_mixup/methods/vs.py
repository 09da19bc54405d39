"""VS loss."""

from typing import ClassVar, Literal

from pydantic import Field

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, Stage, TrainSet, register
from balanced_mixup.methods.settings import Tau


@register
class VsLoss(Method):
    """Vector scaling: logits are scaled and moved by class frequency (Kini et al., NeurIPS 2021)."""

    title: ClassVar[str] = "VS"
    name: Literal["vs"] = "vs"
    vs_gamma: float = Field(0.3, ge=0, description="Logits are scaled by (n / n_max)^gamma; 0 is the logit-adjusted loss.")
    tau: Tau = 1.0

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of this loss on plain sampling."""
        return (Stage(data.instance_branch(), loss=losses.VectorScaling(data.counts, self.vs_gamma, self.tau)),)
