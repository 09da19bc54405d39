"""The scores of predictions, typed: every metric and the recall and precision of each class, with intervals."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, accuracy, confusion
from balanced_mixup.runs.formats import METRICS_FILE, damaged, read_file
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.statistics.bootstrap import Interval, bootstrap, units_of

_REMEDY = "Delete it: `bmixup train --resume` makes it again."


@dataclass(frozen=True)
class ClassScores:
    """Recall and precision of a class, NaN where undefined, and `support`, the number of its images."""

    support: int
    recall: Interval
    precision: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return the scores for JSON."""
        return {"support": self.support, "recall": self.recall.to_dict(), "precision": self.precision.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(int(content["support"]), *(Interval.from_dict(content[name]) for name in ("recall", "precision")))


@dataclass(frozen=True)
class Scores:
    """The scores of one set of images, each with its 95 % interval.

    n: Number of images. groups: Number of groups, or None. metrics: By name, as in `METRICS`. per_class: By class, in order.
    """

    n: int
    groups: int | None
    metrics: Mapping[str, Interval]
    per_class: Mapping[str, ClassScores]

    def __repr__(self) -> str:
        """Return the number of images and the value of each score that is defined, in one line."""
        values = ", ".join(f"{name} {score.value:.3f}" for name, score in self.metrics.items() if not math.isnan(score.value))
        return f"Scores({self.n:,} images, {len(self.per_class)} classes: {values})"

    def _repr_html_(self) -> str:
        """Return the scores with their intervals as a table, for a notebook."""
        rows = [(escape(METRICS[name].label), score) for name, score in self.metrics.items() if name in METRICS]
        cells = "".join(
            f"<tr><td>{label}</td><td>{score.value:.3f}</td><td>{score.low:.3f} to {score.high:.3f}</td></tr>"
            for label, score in rows
            if not math.isnan(score.value)
        )
        head = "<tr><th>score</th><th>value</th><th>95 % interval</th></tr>"
        return f"<table>{head}{cells}</table><p>{self.n:,} images, {len(self.per_class)} classes</p>"

    @classmethod
    def of(cls, predictions: Predictions, replicates: int = 2000) -> Self:
        """Score predictions, with bootstrap intervals over whole groups where there are groups, else over images.

        Where all replicates score the same, the bootstrap interval has no width. An accuracy, recall or precision of 0 or 1
        then gets Wilson's interval, whose trials are the images: all, those of the class, or those predicted as it; or their
        groups, where there are groups. Any other score then has no interval. Of class answers alone (`answers_only`), a score
        that is read from probabilities is undefined.
        """
        names = predictions.classes
        intervals = _intervals(predictions, tuple(METRICS), replicates)
        support = np.bincount(predictions.labels, minlength=len(names)).tolist()
        return cls(
            len(predictions),
            None if predictions.groups is None else len(np.unique(predictions.groups)),
            {name: intervals[name] for name in METRICS},
            {
                name: ClassScores(support[k], intervals[f"recall_{k}"], intervals[f"precision_{k}"])
                for k, name in enumerate(names)
            },
        )

    def completed(self, read: Callable[[], Predictions]) -> "Scores":
        """Return the scores with all `METRICS`; those of metrics newer than the scores are computed from predictions.

        Args:
            read: Returns the predictions that were scored. Where it raises UsageError, or they cannot be scored, the scores
                stay as they are.
        """
        lacking = [name for name in METRICS if name not in self.metrics]
        if not lacking:
            return self
        try:
            added = _intervals(read(), lacking, 2000)
        except UsageError:
            return self
        return replace(self, metrics={**self.metrics, **{name: added[name] for name in lacking}})

    def values(self, read: Callable[[], Predictions]) -> dict[str, float]:
        """Return every metric without its interval, NaN where undefined; see `completed`, but without a bootstrap."""
        lacking = [name for name in METRICS if name not in self.metrics]
        values = {name: score.value for name, score in self.metrics.items() if name in METRICS}
        try:
            predictions = read() if lacking else None
        except UsageError:
            predictions = None
        for name in lacking:
            values[name] = math.nan
            if predictions is not None and name in defined_metrics(predictions):
                values[name] = METRICS[name](predictions.labels, predictions.probabilities)
        return {name: values[name] for name in METRICS}

    def to_dict(self) -> dict[str, Any]:
        """Return the scores for JSON; NaN is None."""
        return {
            "n": self.n,
            "groups": self.groups,
            "metrics": {name: score.to_dict() for name, score in self.metrics.items()},
            "per_class": {name: scores.to_dict() for name, scores in self.per_class.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError, ValueError or AttributeError where it is something else."""
        return cls(
            int(content["n"]),
            content["groups"],
            {name: Interval.from_dict(score) for name, score in content["metrics"].items()},
            {name: ClassScores.from_dict(scores) for name, scores in content["per_class"].items()},
        )


def read_scores(path: Path) -> dict[str, Scores]:
    """Return the scores of each split in a run's metrics.json, as they are stored.

    Raises:
        UsageError: The file is missing, damaged, or of a newer version.
    """
    content = read_file(path, METRICS_FILE, _REMEDY)
    try:
        scores = {split: Scores.from_dict(content[split]) for split in SPLITS if split in content}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise damaged(path, error, _REMEDY) from None
    if not scores:
        raise damaged(path, "it has no scores", _REMEDY)
    return scores


def defined_metrics(predictions: Predictions, metrics: Collection[str] = METRICS) -> list[str]:
    """Return the metrics that these predictions allow: of class answers alone, those of the confusion matrix."""
    return [name for name in metrics if not predictions.answers_only or METRICS[name].statistic is confusion]


def _intervals(predictions: Predictions, metrics: Sequence[str], replicates: int) -> dict[str, Interval]:
    labels, probabilities, groups = predictions.labels, predictions.probabilities, predictions.groups
    defined = defined_metrics(predictions, metrics)
    intervals = {name: Interval(math.nan) for name in metrics if name not in defined}
    intervals |= bootstrap(labels, probabilities, groups, metrics=defined, replicates=replicates)
    units, predicted = units_of(len(labels), groups), probabilities.argmax(axis=1)

    def trials(rows: npt.NDArray[np.bool_]) -> int:
        return len(np.unique(units[rows]))

    proportions = {accuracy.name: trials(np.full(len(labels), True))}
    for k in range(len(predictions.classes)):
        proportions |= {f"recall_{k}": trials(labels == k), f"precision_{k}": trials(predicted == k)}
    return {name: score.unless_constant(proportions.get(name)) for name, score in intervals.items()}
