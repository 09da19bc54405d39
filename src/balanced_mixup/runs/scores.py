"""The scores of predictions, typed: every metric and the recall and precision of each class, with intervals."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np

from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, confusion
from balanced_mixup.runs.formats import METRICS_FILE, damaged, read_file
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.statistics.interval import Interval, warnings_of
from balanced_mixup.statistics.scoring import FEW_IN_CLASS, score_intervals

_REMEDY = "Delete it: `bmixup train --resume` makes it again."


_INTERVALS = 2  # how intervals are computed; those of version 1 were too narrow for rare classes
_OLD = "The interval is that of an earlier version: too narrow where classes are rare."
_UNDEFINED = Interval(math.nan)


@dataclass(frozen=True)
class ClassScores:
    """Scores of a class against the rest, NaN where undefined, and `support`, the number of its images.

    precision is the positive predictive value, npv the negative one, both at the prevalence in these images.
    """

    support: int
    recall: Interval
    precision: Interval
    specificity: Interval = _UNDEFINED
    npv: Interval = _UNDEFINED
    f1: Interval = _UNDEFINED
    auc: Interval = _UNDEFINED
    average_precision: Interval = _UNDEFINED

    def instead_of(self, name: str) -> str:
        """Return what is shown instead of a score of a few images that has no interval, as a bare 1.000 looks certain.

        Of the recall "3 of 3", of other scores a dash; "" where the score can be shown.
        """
        score: Interval = getattr(self, name)
        if score.low < score.high or math.isnan(score.value) or self.support >= FEW_IN_CLASS:
            return ""
        return f"{round(score.value * self.support)} of {self.support}" if name == "recall" else "–"

    def scores(self) -> dict[str, Interval]:
        """Return each score by its name."""
        return {name: getattr(self, name) for name in CLASS_FIELDS}

    def to_dict(self) -> dict[str, Any]:
        """Return the scores for JSON."""
        return {"support": self.support} | {name: score.to_dict() for name, score in self.scores().items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; earlier versions had recall and precision alone."""
        names = [name for name in CLASS_FIELDS if name in {"recall", "precision", *content}]
        return cls(int(content["support"]), **{name: Interval.from_dict(content[name]) for name in names})

    def warned(self, warning: str) -> Self:
        """Return the same with this warning on each score."""
        return type(self)(self.support, **{name: score.warned(warning) for name, score in self.scores().items()})


CLASS_FIELDS = tuple(each.name for each in fields(ClassScores) if each.name != "support")


@dataclass(frozen=True)
class Scores:
    """The scores of one set of images, each with its 95 % interval.

    n: Number of images. groups: Number of groups, or None. metrics: By name, as in `METRICS`. per_class: By class, in order.
    outdated: The intervals are those of an earlier version.
    """

    n: int
    groups: int | None
    metrics: Mapping[str, Interval]
    per_class: Mapping[str, ClassScores]
    outdated: bool = False

    def __repr__(self) -> str:
        """Return the number of images and the value of each score that is defined, in one line."""
        values = ", ".join(f"{name} {score.value:.3f}" for name, score in self.metrics.items() if not math.isnan(score.value))
        return f"Scores({self.n:,} images, {len(self.per_class)} classes: {values})"

    def _repr_html_(self) -> str:
        """Return the scores with their intervals as a table, for a notebook."""
        known = {name: score for name, score in self.metrics.items() if name in METRICS and not math.isnan(score.value)}
        cells = "".join(
            f"<tr><td>{escape(METRICS[name].label)}</td><td>{score.value:.3f}{score.mark}</td>"
            f"<td>{score.low:.3f} to {score.high:.3f}</td></tr>"
            for name, score in known.items()
        )
        notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in warnings_of(known.values()))
        head = "<tr><th>score</th><th>value</th><th>95 % interval</th></tr>"
        return f"<table>{head}{cells}</table>{notes}<p>{self.n:,} images, {len(self.per_class)} classes</p>"

    @classmethod
    def of(cls, predictions: Predictions, replicates: int = 2000) -> Self:
        """Score predictions, with the intervals of `score_intervals`, over groups where there are groups, else over images.

        Of class answers alone (`answers_only`), a score that is read from probabilities is undefined.
        """
        names, groups = predictions.classes, predictions.groups
        found = score_intervals(
            predictions.labels,
            predictions.probabilities,
            groups,
            classes=names,
            metrics=defined_metrics(predictions),
            draws=replicates,
        )
        support = np.bincount(predictions.labels, minlength=len(names)).tolist()
        return cls(
            len(predictions),
            None if groups is None else len(np.unique(groups)),
            {name: found.get(name, _UNDEFINED) for name in METRICS},
            {
                name: ClassScores(support[k], **{score: found.get(f"{score}_{k}", _UNDEFINED) for score in CLASS_FIELDS})
                for k, name in enumerate(names)
            },
        )

    def completed(self, read: Callable[[], Predictions]) -> "Scores":
        """Return the scores with all `METRICS` and up-to-date intervals, computed from the predictions where they lack.

        Args:
            read: Returns the predictions that were scored. Where it raises UsageError, or they cannot be scored, the scores
                stay as they are, and old intervals get a warning.
        """
        if not self.outdated and all(name in self.metrics for name in METRICS):
            return self
        try:
            return self.of(read())
        except UsageError:
            return self if not self.outdated else self._warned(_OLD)

    def _warned(self, warning: str) -> "Scores":
        return replace(
            self,
            metrics={name: score.warned(warning) for name, score in self.metrics.items()},
            per_class={name: row.warned(warning) for name, row in self.per_class.items()},
        )

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
            "intervals": 1 if self.outdated else _INTERVALS,
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
            outdated=content.get("intervals", 1) < _INTERVALS,
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
