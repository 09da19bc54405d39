"""Learning rate schedules, relative to the peak: pure functions of the step and of the scores so far.

Schedules are stateless, so a resumed run cannot differ from an uninterrupted one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from balanced_mixup.methods.base import Schedule

PLATEAU_END = 1e-3  # fraction of the peak learning rate at which a `plateau` training ends


@dataclass(frozen=True)
class LearningRate:
    """The learning rate of a training, or of those stages of one that share an optimiser.

    Args:
        schedule: By name.
        highest: The peak learning rate.
        steps_per_epoch: Number of steps.
        epochs: Number of epochs.
        warmup: Fraction of all steps for the warm-up of `cosine`.
        cycle_epochs: Epochs per cycle of `cyclic`.
        plateau_patience: Epochs without a better score that `plateau` tolerates.
    """

    schedule: Schedule
    highest: float
    steps_per_epoch: int
    epochs: int
    warmup: float
    cycle_epochs: int
    plateau_patience: int

    def at(self, step: int, scores: Sequence[float]) -> float:
        """Return the learning rate of a step, counted over all epochs, after epochs with these validation scores."""
        match self.schedule:
            case "cosine":
                return self.highest * cosine(step, self.epochs * self.steps_per_epoch, self.warmup)
            case "cyclic":
                return self.highest * cyclic(step, self.cycle_epochs * self.steps_per_epoch)
            case "plateau":
                return self.highest * plateau(scores, self.plateau_patience)
            case "constant":
                return self.highest

    def has_ended(self, scores: Sequence[float]) -> bool:
        """Return whether training should end: the learning rate of `plateau` has become negligible."""
        return self.schedule == "plateau" and plateau(scores, self.plateau_patience) <= PLATEAU_END * (1 + 1e-6)


def cosine(step: int, steps: int, warmup: float) -> float:
    """Return a linear warm-up over the first `warmup` fraction of `steps`, then half a cosine down to 0."""
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def cyclic(step: int, cycle_steps: int) -> float:
    """Return half a cosine from 1 to 0, again and again (SGDR: Loshchilov and Hutter, ICLR 2017, Eq. 5)."""
    return 0.5 * (1 + math.cos(math.pi * (step % cycle_steps) / cycle_steps))


def plateau(scores: Sequence[float], patience: int, factor: float = 0.1) -> float:
    """Return 1, times `factor` for each time that more than `patience` epochs in a row brought no better score.

    The rule of torch's ReduceLROnPlateau (threshold 0, no cooldown).

    Args:
        scores: Validation score of each epoch so far, higher is better. NaN is never better.
        patience: Epochs without a better score that are tolerated.
        factor: What the learning rate is multiplied by.
    """
    best, waiting, rate = -math.inf, 0, 1.0
    for score in scores:
        if score > best:
            best, waiting = score, 0
        else:
            waiting += 1
        if waiting > patience:
            rate, waiting = rate * factor, 0
    return rate


def epochs_since_best(scores: Sequence[float]) -> int:
    """Return how many epochs ago the best score was (the first of equal ones); NaN is never best."""
    best, when = -math.inf, 0
    for epoch, score in enumerate(scores, start=1):
        if score > best:
            best, when = score, epoch
    return len(scores) - when
