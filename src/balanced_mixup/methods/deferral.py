"""Deferred re-weighting and re-sampling: a schedule over any method, whose last epochs teach all classes alike.

LDAM-DRW trains as the classes are until 80 % of the epochs, then weighs them by their effective number (Cao et al., NeurIPS 2019). Here
the weights are those of the targets that a stage shows: with a mix that shows rare classes more often already, such as
Balanced-MixUp, they are smaller, so that the classes count alike, and not the rare ones more. With plain sampling they are the paper's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from balanced_mixup.errors import UsageError

if TYPE_CHECKING:
    from balanced_mixup.methods.base import Method, Stage, TrainSet

Deferral = Literal["drw", "drs"]

_BETA = 0.9999
_ALIKE = 0.8  # of two classes, where there is nothing left to balance


def deferred(stage: Stage, kind: Deferral, data: TrainSet, epochs: range) -> Stage:
    """Return a stage as it is in its last epochs.

    Args:
        stage: A stage of the method.
        kind: "drw" weighs the classes in its loss, "drs" draws each class equally often.
        data: The training images.
        epochs: Those that are left of the stage.
    """
    if kind == "drs":
        return replace(stage, branch=data.class_branch(), name="drs")
    from balanced_mixup.losses import effective_number_weights

    shown = data.counts.sum() * stage.target_proportions(data.counts, epochs)
    return replace(stage, loss=stage.loss.weighted(effective_number_weights(shown, _BETA)), name="drw")


def check_deferral(method: Method) -> None:
    """Raise UsageError where the last epochs of a method cannot be deferred, or would not differ."""
    from balanced_mixup.methods.base import TrainSet

    data = TrainSet(np.repeat([0, 1, 2], [100, 10, 1]), 3, 10, 0)
    stages = method.stages(data)
    reason = ""
    if not stages:
        reason = f"it has no epochs of its own, after those of {base.name if (base := method.base()) else 'nothing'}"
    elif stages[-1].trains != "all":
        reason = "its last stage trains the head alone"
    else:
        prior = stages[-1].class_prior(data.counts, range(8, 10))
        if prior[2] >= _ALIKE * prior[0]:
            reason = "it teaches rare classes as often as frequent ones already"
    if reason:
        raise UsageError(f"The method {method.name} cannot be combined with `defer`: {reason}.")
