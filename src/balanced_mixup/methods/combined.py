"""Free combinations of a sampling, a mix and a loss, each as in the method that is known for it, with its default settings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from balanced_mixup import losses, mixing
from balanced_mixup.errors import UsageError, nearest, shown
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
# By the names of their classes, those of `balanced_mixup.losses`: CrossEntropy is cross-entropy.
LOSSES: Mapping[str, str] = {
    re.sub("(?<=[a-z])(?=[A-Z])", "-", name).lower(): name for name in losses.__all__ if name[0].isupper() and name != "Loss"
}


def _known_loss(name: str) -> str:
    if name not in LOSSES:
        raise UsageError(f"Expected `loss` to be one of {', '.join(LOSSES)}, but got {shown(name)}.{nearest(name, LOSSES)}")
    return name


def loss_class(name: str) -> type[Loss]:
    """Return the loss of that name."""
    found: type[Loss] = getattr(losses, LOSSES[name])
    return found


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
    loss: Annotated[str, AfterValidator(_known_loss)] = Field(
        "cross-entropy", description=f"The loss, with the head that it needs: {', '.join(LOSSES)}."
    )

    @model_validator(mode="after")
    def _check_balance(self) -> Self:
        """Refuse what balances the classes twice: rare ones would count more than frequent ones."""
        data, epochs = TrainSet(np.repeat([0, 1, 2], [100, 10, 1]), 3, 10, 0), range(10)
        (stage,) = self.stages(data)
        proportions, taught = stage.target_proportions(data.counts, epochs), stage.class_prior(data.counts, epochs)
        if proportions[2] >= 0.09 * proportions[0] and taught[2] > 2 * taught[0]:  # 0.1 by square-root sampling
            raise UsageError(
                f"The sampling {self.sampling}, the mix {self.mix} and the loss {self.loss} balance the classes more than "
                "once: rare ones would count more than frequent ones. Leave one of them out."
            )
        return self

    def stages(self, data: TrainSet) -> tuple[Stage, ...]:
        """Return one stage of the three."""
        mix, partners = MIXES[self.mix](data)
        loss = loss_class(self.loss)
        counts: dict[str, Any] = {"counts": data.counts} if "counts" in inspect.signature(loss).parameters else {}
        return (Stage(SAMPLINGS[self.sampling](data), partners, mix, loss(**counts)),)

    def head(self) -> Head:
        """Return the head that the loss needs."""
        from balanced_mixup.heads import HEADS

        return HEADS[loss_class(self.loss).head]()
