"""The scores of a run: all of them, those of each class, what is taken for what, and the curves behind them."""

import math
from collections.abc import Sequence

import numpy as np

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, applicable, confusion
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Chart, Note, Table
from balanced_mixup.report.figures.class_scores import class_scores
from balanced_mixup.report.figures.confusion import confusion_matrix
from balanced_mixup.report.figures.operating_curves import precision_recall_curves, roc_curves
from balanced_mixup.report.words import spoken, with_interval
from balanced_mixup.runs.scores import ClassScores
from balanced_mixup.statistics.bootstrap import Interval


def scores_view(run: RunContents) -> list[Block]:
    """Show all scores, and recall and precision of each class against its size.

    Raises:
        UsageError: The run has no scores, or they are not of the classes of its predictions.
    """
    scores = require(run.scores, "its scores (metrics.json)")
    shown = applicable(scores.metrics, run.ordinal)
    rows = [[METRICS[name].label, _number(score.value), _range(score)] for name, score in shown.items()]
    overall = Table(f"All scores on {run.scored}.", ["score", "value", "95 % interval"], rows)
    if run.images is None:
        return [overall, Note("Without the list of the run's images, the sizes of the classes in training are not known.")]
    if set(scores.per_class) != set(run.classes):
        raise UsageError(f"The scores are of the classes {', '.join(scores.per_class)}, not of {', '.join(run.classes)}.")
    return [overall, *_of_classes(run, [scores.per_class[name] for name in run.classes])]


def _of_classes(run: RunContents, per_class: Sequence[ClassScores]) -> list[Block]:
    trained = run.counts("train")
    recall, precision = (np.array([_triple(getattr(row, which)) for row in per_class]) for which in ("recall", "precision"))
    support = np.array([row.support for row in per_class])
    order = np.argsort(trained, kind="stable")
    table = Table(
        "Each class, the rarest in training first: how many of its images are found (recall), and how many of those called so "
        "are right (precision).",
        ["class", "training images", "scored images", "recall", "95 % interval", "precision", "95 % interval"],
        [
            [
                run.classes[k],
                f"{trained[k]:,}",
                f"{support[k]:,}",
                _number(per_class[k].recall.value),
                _range(per_class[k].recall),
                _number(per_class[k].precision.value),
                _range(per_class[k].precision),
            ]
            for k in order
        ],
    )
    found = with_interval(per_class[order[0]].recall)
    rarest = spoken(run.classes[order[0]])
    alternative = f"Recall and precision of each class with intervals, by class size. Recall of {rarest}, the rarest: {found}."
    drawing = class_scores(run.classes, trained, support, recall, precision)
    caption = "Recall and precision of each class, against how many images it had in training."
    return [Chart("class-scores", caption, alternative, drawing), table]


def confusion_view(run: RunContents) -> list[Block]:
    """Show what the images are and what the model called them. UsageError where there are no predictions."""
    found = require(run.predictions, "its predictions")
    table = confusion(found.labels, found.probabilities).astype(np.int64)
    right = int(np.trace(table))
    off = np.where(np.eye(len(table), dtype=bool), 0, table)
    label, answer = np.unravel_index(off.argmax(), off.shape)
    text = f"{right:,} of {table.sum():,} answers are right."
    if off.any():
        is_a, called = spoken(run.classes[label]), spoken(run.classes[answer])
        text += f" Most often {is_a} is taken for {called}: {off[label, answer]:,} times."
    caption = "Rows are what the images are, columns what the model called them: counts, and per cent of the row."
    return [Chart("confusion", caption, text, confusion_matrix(table, run.classes, run.ordinal))]


def curves_view(run: RunContents) -> list[Block]:
    """Show the ROC and precision-recall curves of each class. UsageError where there are no predictions."""
    found = require(run.predictions, "its predictions")
    arguments = (found.labels, found.probabilities.astype(np.float64), run.classes)
    return [
        Chart(
            "roc",
            "Each class against all others: what share of its images is found, for what share of false alarms. A large area "
            "does not say that the class is found at the model's own decision.",
            "ROC curves of each class against all others.",
            roc_curves(*arguments),
        ),
        Chart(
            "precision-recall",
            "How many of the images called so are right, at each share that is found. The dotted lines are guesses.",
            "Precision-recall curves of each class against all others.",
            precision_recall_curves(*arguments),
        ),
    ]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _triple(score: Interval) -> list[float]:
    return [score.value, score.low, score.high] if score.low < score.high else [score.value, math.nan, math.nan]


def _range(score: Interval) -> str:
    return f"{score.low:.3f} to {score.high:.3f}" if score.low < score.high else "–"
