"""Full trainings on the first inner fold, by successive halving: what falls behind is not trained to the end.

The rule is Optuna's SuccessiveHalvingPruner (Li et al., MLSys 2020; asynchronous): at rungs of 1, 2, 4 ... times the smallest
number of epochs, a training goes on if its validation score is in the better half of all that have reached that rung so far.
Plain training comes first and is never dropped, as the others are compared with it and some start from it; what starts from it
trains the head alone, and is never dropped either.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback

from balanced_mixup.benchmark.corrected_rows import corrected
from balanced_mixup.choose.candidates import PLAIN, starts_from_plain
from balanced_mixup.choose.record import Fate, Rival, Trial
from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.evaluation.experiment import train
from balanced_mixup.methods import get_method
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.statistics.bootstrap import replicate, units_of
from balanced_mixup.statistics.two_way_bootstrap import difference_over_trainings
from balanced_mixup.training.module import ClassifierModule

REDUCTION = 2


class _EndedEarly(Exception):  # noqa: N818 - no error: it ends a training
    """A training that is not continued."""

    def __init__(self, fate: Fate) -> None:
        super().__init__(fate)
        self.fate = fate


def smallest_rung(epochs: int) -> int:
    """Return the epochs after which a training can be dropped for the first time: an eighth."""
    return max(1, epochs // 8)


class Halving:
    """Optuna's pruner over the trainings so far, in their order."""

    def __init__(self, epochs: int) -> None:
        """Begin without any; `epochs` is the number of a full training."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=smallest_rung(epochs), reduction_factor=REDUCTION)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)

    def begin(self, method: str) -> Callable[[float], bool]:
        """Begin a training; the function takes the validation score of each epoch, and returns whether it is to be dropped."""
        if starts_from_plain(method):
            return lambda score: False
        trial, epoch = self._study.ask(), 0

        def is_behind(score: float) -> bool:
            nonlocal epoch
            epoch += 1
            trial.report(score, epoch)
            return trial.should_prune() and method != PLAIN

        return is_behind


class _Watch(Callback):
    """Records the validation score and the time of each epoch, and ends a training that is behind or out of time."""

    def __init__(self, metric: str, is_behind: Callable[[float], bool], deadline: float, *, after_plain: bool) -> None:
        self.path: list[tuple[float, float]] = []
        self._metric, self._is_behind, self._deadline = metric, is_behind, deadline
        self._start, self._rows, self._after_plain = time.monotonic(), 0, after_plain

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave out the epochs of plain training that this one starts from."""
        assert isinstance(pl_module, ClassifierModule)
        if self._after_plain:
            self._rows = max(self._rows, pl_module.first_row)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the epoch that has ended."""
        assert isinstance(pl_module, ClassifierModule)
        self._look(pl_module)
        if self._deadline < time.monotonic():
            raise _EndedEarly("out of time")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the last epoch, after which nothing is dropped."""
        assert isinstance(pl_module, ClassifierModule)
        self._look(pl_module, may_end=False)

    def _look(self, module: ClassifierModule, *, may_end: bool = True) -> None:
        for row in module.history.rows[self._rows :]:
            score = float(np.nan_to_num(row[self._metric]))  # a score that is not defined is none to be kept for
            self.path.append((time.monotonic() - self._start, score))
            if self._is_behind(score) and may_end:
                raise _EndedEarly("dropped")
        self._rows = len(module.history.rows)


def run_trial(method: str, settings: Mapping[str, Any], folder: Path, metric: str, halving: Halving, deadline: float) -> Trial:
    """Train a method in full, or until it is dropped.

    Args:
        method: Its name.
        settings: Of the training on the first inner fold.
        folder: Of all trials; the run is the subfolder with the method's name.
        metric: The score that decides.
        halving: Knows the trainings so far.
        deadline: When, by `time.monotonic`, the training ends wherever it is.
    """
    watch = _Watch(metric, halving.begin(method), deadline, after_plain=starts_from_plain(method))
    start, out = time.monotonic(), folder / method
    base = folder / PLAIN if starts_from_plain(method) else None
    fate: Fate = "finished"
    reason = ""
    try:
        train(settings, {"method": method}, out=out, resume=True, base=base, callbacks=[watch])
    except _EndedEarly as end:
        RunFolder(out).remove_checkpoints()
        fate = end.fate
    except BalancedMixupError as error:
        fate, reason = "failed", str(error)
    return Trial(method, fate, tuple(watch.path), seconds=time.monotonic() - start, reason=reason)


def replay(trial: Trial, halving: Halving) -> None:
    """Let the pruner know a trial of an earlier attempt."""
    is_behind = halving.begin(trial.method)
    for _, score in trial.path:
        is_behind(score)


def tested(folder: Path, method: str, prior: str) -> dict[str, Predictions]:
    """Return the predictions of a finished training for its test images, by label: as they are, and corrected where allowed."""
    run = folder / method
    predictions = Run.open(run).predictions.in_split("test")
    found = {method: predictions}
    if get_method(method).correctable and prior != "none":
        found[f"{method}, {prior} prior"] = corrected(predictions, run, prior)
    return found


def with_scores(trial: Trial, found: Mapping[str, Predictions], metric: str) -> Trial:
    """Return a finished trial with its scores on images that the training has not seen."""
    return replace(trial, scores={label: _score(metric, each) for label, each in found.items()})


def _score(metric: str, predictions: Predictions) -> float:
    return float(METRICS[metric](predictions.labels, predictions.probabilities))


def rivals(found: Mapping[str, Predictions], metric: str) -> tuple[Rival, ...]:
    """Compare all candidates with the one of the best score, on the same images (paired bootstrap)."""
    scores = {label: _score(metric, each) for label, each in found.items()}
    best = max(scores, key=lambda label: scores[label])
    return tuple(
        Rival(label, *((0.0, 0.0, 0.0) if label == best else difference(found[best], each, metric)))
        for label, each in found.items()
    )


def difference(one: Predictions, other: Predictions, metric: str) -> tuple[float, float, float]:
    """Return the score of one model less that of another on the same images, with the ends of its 95 % interval."""
    drawn = replicate(one.labels, [one.probabilities, other.probabilities], one.groups, metrics=[metric])
    units = int(units_of(len(one), one.groups).max()) + 1
    found = difference_over_trainings(drawn[:1], drawn[1:], metric, units)
    return found.mean, found.low, found.high
