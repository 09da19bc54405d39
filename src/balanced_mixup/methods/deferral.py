"""Deferred re-weighting and re-sampling: a schedule over any method, whose last epochs teach all classes alike.

For 80 % of the epochs classes count by their size, then by weights from their effective number, or class sampling (Cao et al.,
NeurIPS 2019). The weights are those for the targets that a stage shows: Balanced-MixUp, which shows rare classes more often
already, gets smaller ones than plain sampling, whose weights are the paper's. So classes count alike, and rare ones not more.
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


def check_deferral(method: Method, kind: Deferral) -> None:
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
        epochs = range(8, 10)
        before = stages[-1].class_prior(data.counts, epochs)
        after = deferred(stages[-1], kind, data, epochs).class_prior(data.counts, epochs)
        if before[2] >= _ALIKE * before[0]:
            reason = "it teaches rare classes as often as frequent ones already"
        elif after[2] > 2 * after[0]:
            reason = "it weighs rare classes by itself, and they would count more than frequent ones"
    if reason:
        raise UsageError(f"The method {method.name} cannot be combined with `defer`: {reason}.")
