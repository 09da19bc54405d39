"""Free combinations of a sampling, a mix and a loss, each as in the method that is known for it, with its default settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from balanced_mixup import losses, mixing
from balanced_mixup.errors import UsageError
from balanced_mixup.methods.base import Method, Stage, TrainSet, register

if TYPE_CHECKING:
    from balanced_mixup.heads import Head
    from balanced_mixup.losses import Loss
    from balanced_mixup.mixing import Mix
    from balanced_mixup.sampling import Branch

SAMPLINGS: Mapping[str, Callable[[TrainSet], Branch]] = {
    "instance": lambda data: data.instance_branch(),
    "class": lambda data: data.class_branch(),
    "sqrt": lambda data: data.class_branch(0.5),
    "progressive": lambda data: data.progressive_branch(),
}
# The mix, and the branch of its partners.
MIXES: Mapping[str, Callable[[TrainSet], tuple[Mix, Branch | None]]] = {
    "none": lambda data: (mixing.NoMix(), None),
    "mixup": lambda data: (mixing.MixUp(weight_per="sample"), None),
    "balanced-mixup": lambda data: (mixing.BalancedMixUp(weight_per="sample"), data.class_branch()),
    "bbn-mix": lambda data: (mixing.BbnMix(weight_per="sample"), data.class_branch(-1.0)),
    "cutmix": lambda data: (mixing.CutMix(weight_per="sample"), None),
    "cmo": lambda data: (mixing.Cmo(weight_per="sample"), data.class_branch()),
    "remix": lambda data: (mixing.Remix(data.counts, weight_per="sample"), None),
    "unimix": lambda data: (mixing.UniMix(data.counts), None),
}
LOSSES: Mapping[str, Callable[[TrainSet], Loss]] = {
    "cross-entropy": lambda data: losses.CrossEntropy(),
    "focal": lambda data: losses.Focal(),
    "cb-loss": lambda data: losses.ClassBalanced(data.counts),
    "logit-adjusted": lambda data: losses.LogitAdjusted(data.counts),
    "vs": lambda data: losses.VectorScaling(data.counts),
    "balanced-bce": lambda data: losses.BalancedBce(data.counts),
    "seesaw": lambda data: losses.Seesaw(data.counts),
    "label-aware-smoothing": lambda data: losses.LabelAwareSmoothing(data.counts),
    "ldam": lambda data: losses.Ldam(data.counts),
    "gcl": lambda data: losses.GaussianClouded(data.counts),
    "corn": lambda data: losses.Corn(),
    "coral": lambda data: losses.Coral(),
}
# A frequent, a medium and a rare class, to see what a combination does.
_TRIAL = TrainSet(np.repeat([0, 1, 2], [100, 10, 1]), 3, 10, 0)


@register
class Combined(Method):
    """A sampling, a mix and a loss of your choice, as in bags of tricks (Zhang et al., AAAI 2021)."""

    title: ClassVar[str] = "Combined"
    name: Literal["combined"] = "combined"
    sampling: Literal["instance", "class", "sqrt", "progressive"] = Field(
        "instance", description="How samples are drawn, as in the method of that name."
    )
    mix: Literal["none", "mixup", "balanced-mixup", "bbn-mix", "cutmix", "cmo", "remix", "unimix"] = Field(
        "none", description="How samples are mixed, as in the method of that name, in all epochs."
    )
    loss: Literal[
        "cross-entropy",
        "focal",
        "cb-loss",
        "logit-adjusted",
        "vs",
        "balanced-bce",
        "seesaw",
        "label-aware-smoothing",
        "ldam",
        "gcl",
        "corn",
        "coral",
    ] = Field("cross-entropy", description="The loss, with its head, as in the method of that name.")

    @model_validator(mode="after")
    def _check_balance(self) -> Self:
        """Refuse what balances the classes twice: rare ones would count more than frequent ones."""
        (stage,), counts, epochs = self.stages(_TRIAL), _TRIAL.counts, range(_TRIAL.epochs)
        proportions, taught = stage.target_proportions(counts, epochs), stage.class_prior(counts, epochs)
        if proportions[2] >= 0.09 * proportions[0] and taught[2] > 2 * taught[0]:  # 0.1 by square-root sampling
            raise UsageError(
                f"The sampling {self.sampling}, the mix {self.mix} and the loss {self.loss} balance the classes more than "
                "once: rare ones would count more than frequent ones. Leave one of them out."
            )
        return self

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the three."""
        mix, partners = MIXES[self.mix](data)
        return (Stage(SAMPLINGS[self.sampling](data), partners, mix, LOSSES[self.loss](data)),)

    def head(self) -> Head:
        """Return the head that the loss needs."""
        from balanced_mixup.heads import HEADS

        return HEADS[LOSSES[self.loss](_TRIAL).head]()
