"""The scores of a run: all of them, those of each class, the confusion matrix, and the curves behind them."""

import math
from collections.abc import Sequence

import numpy as np

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, applicable, confusion
from balanced_mixup.report.contents import Contents, require
from balanced_mixup.report.document import Block, Chart, Table
from balanced_mixup.report.figures import class_scores, confusion_matrix, precision_recall_curves, roc_curves
from balanced_mixup.runs.scores import ClassScores
from balanced_mixup.statistics.interval import Interval


def scores_view(run: Contents) -> list[Block]:
    """Return all scores, and recall and precision of each class against its size.

    Raises:
        UsageError: The run has no scores, or their classes differ from those of its predictions.
    """
    scores = require(run.scores, "its scores (metrics.json)")
    shown = applicable(scores.metrics, run.ordinal)
    rows = [[METRICS[name].label, *_cells(score)] for name, score in shown.items()]
    overall = Table(f"All scores on {run.scored}.", ["score", "value", "95% interval"], rows)
    if set(scores.per_class) != set(run.classes):
        raise UsageError(f"The scores are of the classes {', '.join(scores.per_class)}, not of {', '.join(run.classes)}.")
    return [overall, *_of_classes(run, [scores.per_class[name] for name in run.classes])]


def _of_classes(run: Contents, per_class: Sequence[ClassScores]) -> list[Block]:
    support = np.array([row.support for row in per_class])
    trained = None if run.images is None else run.counts("train")
    sizes, known = (support, "scored") if trained is None else (trained, "training")
    recall = np.array([_triple(row.recall) for row in per_class])
    precision = np.array([_triple(row.precision) for row in per_class])
    rows = [
        [
            run.classes[k],
            *([] if trained is None else [f"{trained[k]:,}"]),
            f"{support[k]:,}",
            *_cells(per_class[k].recall),
            *_cells(per_class[k].precision),
        ]
        for k in np.argsort(sizes, kind="stable")
    ]
    table = Table(
        "The same in numbers",
        [
            "class",
            *(["training images"] * (trained is not None)),
            "scored images",
            "recall",
            "95% interval",
            "precision",
            "95% interval",
        ],
        rows,
        collapsed=True,  # the figure shows recall and precision already
    )
    drawing = class_scores(run.classes, sizes, support, recall, precision, known)
    caption = (
        "Recall (how many images of the class are found) and precision (how many of the images predicted as the class are of "
        f"it), the class with the fewest {known} images first."
    )
    return [Chart("class-scores", caption, drawing), table]


def confusion_view(run: Contents) -> list[Block]:
    """Return the confusion matrix. UsageError where there are no predictions."""
    found = require(run.predictions, "its predictions")
    table = confusion(found.labels, found.probabilities).astype(np.int64)
    drawing = confusion_matrix(table, run.classes, run.ordinal)
    return [Chart("confusion", f"{drawing.description} Rows are labels, columns predicted classes.", drawing)]


def curves_view(run: Contents) -> list[Block]:
    """Return the ROC and precision-recall curves of each class. UsageError where there are no predicted probabilities."""
    found = require(run.predictions, "its predictions")
    if found.answers_only:
        raise UsageError("The predictions are classes without probabilities, so there are no curves.")
    arguments = (found.labels, found.probabilities.astype(np.float64), run.classes)
    return [
        Chart(
            "roc",
            "One-vs-rest ROC curves: true positive rate against false positive rate over all thresholds. A large area does not "
            "mean that the class is found at the threshold the model uses.",
            roc_curves(*arguments),
        ),
        Chart(
            "precision-recall",
            "One-vs-rest precision-recall curves. The dotted lines are the precision of chance, the prevalence of the class.",
            precision_recall_curves(*arguments),
        ),
    ]


def _triple(score: Interval) -> list[float]:
    return [score.value, score.low, score.high] if score.low < score.high else [score.value, math.nan, math.nan]


def _cells(score: Interval) -> list[str]:
    """Return a score and its interval, dashes if undefined."""
    value, low, high = _triple(score)
    return ["–" if math.isnan(value) else f"{value:.3f}", "–" if math.isnan(low) else f"{low:.3f} to {high:.3f}"]
