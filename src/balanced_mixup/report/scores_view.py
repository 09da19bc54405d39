"""The scores of a run: all of them, those of each class against the rest, the confusion matrix, and the curves."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, applicable, confusion
from balanced_mixup.report.contents import Contents, require
from balanced_mixup.report.document import Block, Chart, Table, Text
from balanced_mixup.report.figures import class_scores, confusion_matrix, precision_recall_curves, roc_curves
from balanced_mixup.report.words import interval, percent, with_interval
from balanced_mixup.runs.scores import ClassScores
from balanced_mixup.statistics.interval import Interval, warnings_of
from balanced_mixup.statistics.predictive_values import predictive_values

Counts = npt.NDArray[np.int64]


def scores_view(run: Contents) -> list[Block]:
    """Return all scores, those of each class against the rest, and what their marks mean.

    Raises:
        UsageError: The run has no scores, or their classes differ from those of its predictions.
    """
    scores = require(run.scores, "its scores (metrics.json)")
    shown = applicable(scores.metrics, run.ordinal)
    rows = [[METRICS[name].label, *_cells(score)] for name, score in shown.items()]
    overall = Table(f"All scores on {run.scored}.", ["score", "value", "95% interval"], rows)
    meanings = Table(
        "What these scores measure; all are better when higher, and 1 is perfect.",
        ["score", "what it measures"],
        [[METRICS[name].label, METRICS[name].summary] for name in shown if METRICS[name].summary],
        words=2,
        collapsed=True,
    )
    if set(scores.per_class) != set(run.classes):
        raise UsageError(f"The scores are of the classes {', '.join(scores.per_class)}, not of {', '.join(run.classes)}.")
    of_classes = _of_classes(run, [scores.per_class[name] for name in run.classes])
    return [overall, *marks(shown.values()), *([meanings] if meanings.rows else []), *of_classes]


def marks(scores: Iterable[Interval]) -> list[Block]:
    """Return the sentences that the marks of the scores above stand for."""
    return [Text(sentence) for sentence in warnings_of(scores)]


def _of_classes(run: Contents, per_class: Sequence[ClassScores]) -> list[Block]:
    support = np.array([row.support for row in per_class])
    trained = None if run.images is None else run.counts("train")
    sizes, known = (support, "scored") if trained is None else (trained, "training")
    recall = np.array([_triple(row.recall) for row in per_class])
    precision = np.array([_triple(row.precision) for row in per_class])
    predicted = None
    if run.predictions is not None:
        predicted = np.bincount(run.predictions.probabilities.argmax(axis=1), minlength=len(run.classes))
    drawing = class_scores(run.classes, sizes, support, recall, precision, known, predicted)
    caption = (
        "Recall (how many images of the class are found) and precision (how many of the images predicted as the class are of "
        f"it), the class with the fewest {known} images first."
    )
    order = np.argsort(sizes, kind="stable").tolist()
    images = {"scored images": [f"{count:,}" for count in support]}
    if trained is not None:
        images = {"training images": [f"{count:,}" for count in trained]} | images
    never = any(row.support and math.isnan(row.precision.value) for row in per_class)
    against_rest = _table(run, per_class, order, images, _DECISIONS, _DECISIONS_CAPTION + _NEVER * never)
    prevalence = {"prevalence": [percent(share) for share in support / support.sum()]}
    ranking = _table(run, per_class, order, prevalence, _RANKING, _RANKING_CAPTION)
    shown = [getattr(row, name) for row in per_class for name in (*_DECISIONS, *_RANKING)]
    return [
        Chart("class-scores", caption, drawing),
        against_rest,
        *_at_target(run, per_class, order, support),
        ranking,
        *marks(shown),
    ]


_DECISIONS = {
    "recall": "sensitivity (recall)",
    "specificity": "specificity",
    "precision": "PPV (precision)",
    "npv": "NPV",
}
_DECISIONS_CAPTION = (
    "Each class against all others, by the predicted class [95% interval]. PPV and NPV, the positive and the negative "
    "predictive value, are those at the prevalence in the scored images. –: undefined, or too few images."
)
_NEVER = " A class that is never predicted has a specificity of 1 and an NPV of 1 less its prevalence: that is no merit."
_RANKING = {"auc": "AUC", "average_precision": "average precision", "f1": "F1"}
_RANKING_CAPTION = (
    "Each class against all others [95% interval]: area under the ROC curve (AUC; by chance 0.5), average precision (by chance "
    "the prevalence), F1. –: undefined, or too few images."
)
_OPEN = 20  # of more classes than these, a table is collapsed


def _table(
    run: Contents,
    per_class: Sequence[ClassScores],
    order: Sequence[int],
    first: Mapping[str, Sequence[str]],
    scores: Mapping[str, str],
    caption: str,
) -> Table:
    """Return a table of these scores, a row for each class in that order; a score that no class has is left out."""
    defined = [name for name in scores if not all(math.isnan(getattr(row, name).value) for row in per_class)]
    rows = [
        [
            run.classes[k],
            *(column[k] for column in first.values()),
            *(per_class[k].instead_of(name) or interval(getattr(per_class[k], name)) for name in defined),
        ]
        for k in order
    ]
    return Table(caption, ["class", *first, *(scores[name] for name in defined)], rows, collapsed=len(rows) > _OPEN)


def _at_target(run: Contents, per_class: Sequence[ClassScores], order: Sequence[int], support: Counts) -> list[Block]:
    """Return predictive values at the class prior that the probabilities were corrected to, if any."""
    if run.target is None:
        return []
    rows, shares = [], list(run.target.by_class(run.classes).values())
    for k in order:
        values = predictive_values(per_class[k].recall, per_class[k].specificity, shares[k])
        prevalence = [percent(float(support[k] / support.sum())), with_interval(shares[k])]
        bare = per_class[k].instead_of("recall")
        rows.append([run.classes[k], *prevalence, *("–" if bare else interval(value) for value in values)])
    caption = (
        f"Predictive values at the class shares of the prior `{run.target.name}`, by Bayes' theorem from sensitivity and "
        "specificity [interval from their 95% intervals, and that of an estimated share: wider than needed]."
    )
    header = ["class", "prevalence in the scored images", f"prevalence in `{run.target.name}`", "PPV", "NPV"]
    return [Table(caption, header, rows, collapsed=len(rows) > _OPEN)]


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
    return ["–" if math.isnan(value) else f"{value:.3f}{score.mark}", "–" if math.isnan(low) else f"{low:.3f} to {high:.3f}"]
