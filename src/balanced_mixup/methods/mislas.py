"""MiSLAS."""

from typing import ClassVar, Literal

from balanced_mixup import losses
from balanced_mixup.methods.base import Method, OptimizerSettings, Stage, TrainSet, register
from balanced_mixup.methods.lws import SCALES_RATE
from balanced_mixup.methods.mixup import MixUp
from balanced_mixup.methods.settings import Alpha, HeadEpochs, SmoothHead, SmoothTail, WeightPer


@register
class Mislas(Method):
    """MixUp, then LWS with label-aware smoothing and new batch-norm statistics (Zhong et al., CVPR 2021).

    The authors update the statistics while the second stage trains. Here it works on features that are computed once, so they
    are estimated before, on an epoch of class sampling.
    """

    title: ClassVar[str] = "MiSLAS"
    name: Literal["mislas"] = "mislas"
    alpha: Alpha = 0.2
    weight_per: WeightPer = "sample"
    smooth_head: SmoothHead = 0.4
    smooth_tail: SmoothTail = 0.1
    head_epochs: HeadEpochs = 10

    def base(self) -> Method:
        """Return training with MixUp."""
        return MixUp(alpha=self.alpha, weight_per=self.weight_per)

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the factors of the head."""
        stage = Stage(
            data.class_branch(),
            loss=losses.LabelAwareSmoothing(data.counts, self.smooth_head, self.smooth_tail),
            trains="scales",
            renews_statistics=True,
            epochs=self.head_epochs,
            optimizer=OptimizerSettings(learning_rate=SCALES_RATE, schedule="cosine", warmup=0.0),
            name="scales",
        )
        return (stage,)
