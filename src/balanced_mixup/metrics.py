"""Scores for classifiers when some classes are rare.

Accuracy is misleading here: where 75 % of the images are of one class, a constant prediction scores 0.75. Hence seven scores:

=================  ==================================================================  ===========
quadratic kappa    agreement beyond chance, errors weighted by squared distance        ordinal
MCC                correlation between label and prediction, all classes together
Kendall tau-b      do images of a higher class get a higher prediction?              ordinal
balanced accuracy  mean recall: each class counts the same, however rare
macro-F1           mean F1: as above, and false positives count too
accuracy           proportion of correct predictions
macro AUC          does the probability of a class rank its images above the others?
=================  ==================================================================  ===========

The ordinal ones require ordinal classes. All are better when higher.

    >>> import numpy as np
    >>> y = np.array([0, 0, 0, 0, 1, 2])
    >>> probabilities = np.array([[0.8, 0.1, 0.1]] * 4 + [[0.6, 0.3, 0.1]] + [[0.1, 0.3, 0.6]])
    >>> accuracy(y, probabilities), balanced_accuracy(y, probabilities)
    (0.8333333333333334, 0.6666666666666666)
    >>> list(score(y, probabilities)) == list(METRICS)
    True

Each score has two steps. A *statistic* reads the images: `confusion`, which counts pairs of label and prediction in a (K, K)
table, or `class_auc`. A *formula* turns it into a number and is pure mathematics: `mcc.formula(table)` takes any confusion
matrix. Both work on many weightings of the same images at once, shape (..., N): a bootstrap of 2,000 replicates is one call
with weights (2000, N), each row counting how often each image was drawn, and the formulas see tables of shape (2000, K, K).

With many classes most cells of a table are empty: the formulas here take `cells.Cells`, too, which holds the others alone.

Labels and probabilities may be numpy arrays or torch tensors on any device. A score that cannot be computed is NaN, never a
made-up 0; only MCC is 0 then, by convention. The definitions are those of scikit-learn and scipy, and tested against them.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from balanced_mixup import formulas
from balanced_mixup.areas import ClassAreas
from balanced_mixup.cells import Cells, Pairs
from balanced_mixup.errors import UsageError
from balanced_mixup.formulas import class_precision, class_recall
from balanced_mixup.plugins import Registry

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
ArrayOrTensor: TypeAlias = "npt.NDArray[Any] | torch.Tensor"

Score = TypeVar("Score")

ROW_SUM_TOLERANCE = 1e-3
MANY_CLASSES = 64  # above which confusion matrices are kept as their cells that are not empty


@dataclass(frozen=True)
class Metric:
    """A score; call it with labels and probabilities.

    Args:
        name: Key in `METRICS`.
        label: Name in tables and figures.
        statistic: (y, probabilities, weights) -> array (..., K, K) or (..., K); `confusion` or `class_auc`.
        formula: That array -> scores (...).
        by_cells: The formula takes `cells.Cells` in place of a confusion matrix, too.
        summary: One line on what it measures.
        higher_is_better: The best epoch is the one with the highest value.
        ordinal: It requires ordinal classes.
        macro: It is a mean over classes: undefined on a bootstrap draw that misses a class of the images.
        lowest: Its smallest possible value, where intervals end that are symmetric.
    """

    name: str
    label: str
    statistic: Callable[[ArrayOrTensor, ArrayOrTensor, Array | None], Array]
    formula: Callable[[Array], Array]
    summary: str = ""
    higher_is_better: bool = True
    ordinal: bool = False
    macro: bool = False
    by_cells: bool = False
    lowest: float = -1.0

    def __post_init__(self) -> None:
        """Check the name, and copy the docstring of the formula, so that `mcc?` explains MCC in a notebook."""
        if not self.name.isidentifier() or self.name.startswith(("recall_", "precision_")):
            raise UsageError(
                f"Expected a metric's `name` to be an identifier that is not the score of a class, but got {self.name!r}."
            )
        object.__setattr__(self, "__doc__", self.formula.__doc__)

    def __call__(self, y: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
        """Return the score of `probabilities` (N, K), rows summing to 1, for the labels `y`, integers (N,).

        Raises:
            UsageError: Shapes, labels or probabilities are not as described, or there is no image.
        """
        return float(self.of(Images(y, probabilities).statistic(self)))

    def of(self, statistic: Array | Cells) -> Array:
        """Return the scores (...) for the statistic of images."""
        if self.by_cells or not isinstance(statistic, Cells):
            return self.formula(statistic)  # type: ignore[arg-type]  # the formulas of this file take both
        flat = statistic.counts.reshape(-1, statistic.counts.shape[-1])
        tables = (replace(statistic, counts=counts).dense() for counts in flat)  # one at a time: they are large
        return np.array([self.formula(table) for table in tables]).reshape(statistic.counts.shape[:-1])


@dataclass(frozen=True)
class PerClass:
    """Recall and precision of each class.

    Args:
        recall: float64 (K,), proportion of the images of a class that are recognised; NaN for a class without images.
        precision: float64 (K,), proportion of its predictions that are correct; NaN for a class that is never predicted.
        support: int64 (K,), images of each class.
    """

    recall: Array
    precision: Array
    support: npt.NDArray[np.int64]


def score(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> dict[str, float]:
    """Return every metric by its name, for labels `y` (N,) and `probabilities` (N, K); errors as in `Metric`."""
    return {name: float(value) for name, value in weighted_scores(y, probabilities).items()}


def weighted_scores(y: ArrayOrTensor, probabilities: ArrayOrTensor, weights: Array | None = None) -> dict[str, Array]:
    """Return every metric by its name, each of shape (...), for `weights` (..., N); errors as in `confusion`."""
    images = Images(y, probabilities)
    statistics = {metric.statistic: images.statistic(metric, weights) for metric in METRICS.values()}
    return {name: metric.of(statistics[metric.statistic]) for name, metric in METRICS.items()}


def per_class(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> PerClass:
    """Return recall, precision and support of each class; arguments and errors as in `Metric`."""
    table = confusion(y, probabilities)
    return PerClass(class_recall(table), class_precision(table), table.sum(-1).astype(np.int64))


# ---- Statistics: what is read from the images ----


class Images:
    """N images with labels and probabilities; what is the same for every weighting of them is computed once."""

    def __init__(self, y: ArrayOrTensor, probabilities: ArrayOrTensor) -> None:
        """Args and errors as in `confusion`."""
        self._given = y, probabilities
        self._labels, self._p, _ = checked(y, probabilities, None)
        self.classes = self._p.shape[1]

    def __len__(self) -> int:
        """Number of images."""
        return len(self._labels)

    def confusion(self, weights: Array | None = None) -> Array | Cells:
        """Return the confusion matrices for weights (..., N): as `Cells` where there are many classes."""
        cells = self._pairs.counted(_checked_weights(weights, len(self)))
        return cells if self.classes > MANY_CLASSES else cells.dense()

    def statistic(self, metric: Metric, weights: Array | None = None) -> Array | Cells:
        """Return the statistic of a metric for weights (..., N)."""
        if metric.statistic is confusion:
            return self.confusion(weights)
        if metric.statistic is class_auc:
            return self._areas.of(_checked_weights(weights, len(self)))
        return metric.statistic(*self._given, weights)

    @cached_property
    def _pairs(self) -> Pairs:
        return Pairs(self._labels, self._p.argmax(1), self.classes)

    @cached_property
    def _areas(self) -> ClassAreas:
        return ClassAreas(self._labels, self._p)


def confusion(y: ArrayOrTensor, probabilities: ArrayOrTensor, weights: Array | None = None) -> Array:
    """Count the pairs of label (row) and predicted class (column).

    The predicted class is the most probable one, the first of them where several are equal.

    Args:
        y: Integers (N,), each 0 ... K - 1.
        probabilities: (N, K), rows summing to 1.
        weights: (..., N), how often each image counts; once where None.

    Returns:
        float64 (..., K, K).

    Raises:
        UsageError: Shapes, labels, probabilities or weights are not as described, or there is no image.
    """
    labels, p, w = checked(y, probabilities, weights)
    return Pairs(labels, p.argmax(1), p.shape[1]).counted(w).dense()


def class_auc(y: ArrayOrTensor, probabilities: ArrayOrTensor, weights: Array | None = None) -> Array:
    """Return the area under the ROC curve of each class against the rest, float64 (..., K).

    It is the chance that an image of the class gets a higher probability of it than an image of the rest, ties counting half
    (Hanley and McNeil 1982). NaN where a class has no image or all of them. Arguments and errors as in `confusion`.
    """
    labels, p, w = checked(y, probabilities, weights)
    return ClassAreas(labels, p).of(w)


quadratic_kappa = Metric(
    "quadratic_kappa",
    "quadratic kappa",
    confusion,
    formulas.quadratic_kappa,
    "agreement beyond chance, errors weighted by squared distance (ordinal classes)",
    ordinal=True,
    by_cells=True,
)
mcc = Metric(
    "mcc", "MCC", confusion, formulas.mcc, "correlation between label and prediction, all classes together", by_cells=True
)
kendall_tau = Metric(
    "kendall_tau",
    "Kendall tau-b",
    confusion,
    formulas.kendall_tau,
    "rank correlation tau-b between label and prediction (ordinal classes)",
    ordinal=True,
    by_cells=True,
)
balanced_accuracy = Metric(
    "balanced_accuracy",
    "balanced accuracy",
    confusion,
    formulas.balanced_accuracy,
    "mean recall: each class counts the same, however rare",
    macro=True,
    by_cells=True,
    lowest=0.0,
)
macro_f1 = Metric(
    "macro_f1", "macro-F1", confusion, formulas.macro_f1, "mean F1 over the classes", macro=True, by_cells=True, lowest=0.0
)
accuracy = Metric(
    "accuracy", "accuracy", confusion, formulas.accuracy, "proportion of correct predictions", by_cells=True, lowest=0.0
)
macro_auc = Metric(
    "macro_auc",
    "macro AUC",
    class_auc,
    formulas.macro_auc,
    "area under the ROC curve, one class against the rest, mean over the classes",
    macro=True,
    lowest=0.0,
)


METRICS = Registry("metrics", Metric, lambda metric: metric.name)
for _metric in (quadratic_kappa, mcc, kendall_tau, balanced_accuracy, macro_f1, accuracy, macro_auc):
    METRICS.add(_metric)


def applicable(scores: Mapping[str, Score], ordinal: bool) -> dict[str, Score]:
    """Return the applicable known metrics in `scores`: all for ordinal classes, else those that need no order."""
    return {name: value for name, value in scores.items() if name in METRICS and (ordinal or not METRICS[name].ordinal)}


# ---- Checks ----


def checked(
    y: ArrayOrTensor, probabilities: ArrayOrTensor, weights: Array | None
) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Check the arguments of a statistic and return them as int64 (N,), float64 (N, K), float64 (..., N)."""
    labels, p = _numpy(y), _numpy(probabilities)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UsageError(f"Expected `y` to be integers of shape (N,), but got {labels.dtype} of shape {labels.shape}.")
    if not labels.size:
        raise UsageError("Expected `y` to be the labels of at least one image, but got none.")
    if p.ndim != 2 or p.dtype.kind != "f" or len(p) != len(labels) or p.shape[1] < 2:
        raise UsageError(
            f"Expected `probabilities` to be floats of shape ({len(labels)}, K), K at least 2, "
            f"but got {p.dtype} of shape {p.shape}."
        )
    if labels.min() < 0 or labels.max() >= p.shape[1]:
        raise UsageError(
            f"Expected `y` to be from 0 to {p.shape[1] - 1}, for `probabilities` has {p.shape[1]} columns, "
            f"but got labels from {labels.min()} to {labels.max()}."
        )
    p = p.astype(np.float64)
    _check_rows(p)
    return labels.astype(np.int64), p, _checked_weights(weights, len(labels))


def _check_rows(p: Array) -> None:
    """Check that the rows of `p` (N, K) are probabilities."""
    wrong = ~np.isfinite(p) | (p < 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise UsageError(
            f"Expected `probabilities` to be finite and not negative, but got {p[row, column]:g} in row {row}; "
            "apply a softmax to logits first."
        )
    sums = p.sum(1)
    off = np.abs(sums - 1) > ROW_SUM_TOLERANCE
    if off.any():
        row = int(off.argmax())
        raise UsageError(
            f"Expected `probabilities` to be rows that sum to 1 (within {ROW_SUM_TOLERANCE:g}), "
            f"but got a sum of {sums[row]:g} in row {row}; compute the softmax in float32 or higher precision."
        )


def _checked_weights(weights: Array | None, images: int) -> Array:
    """Return `weights` (..., N), ones (N,) where None."""
    if weights is None:
        return np.ones(images)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape[-1:] != (images,):
        raise UsageError(f"Expected `weights` to be of shape (..., {images}), but got {w.shape}.")
    if w.size and not (w.min() >= 0 and w.max() < np.inf):
        raise UsageError(f"Expected `weights` to be finite and not negative, but got values from {w.min():g} to {w.max():g}.")
    return w


def _numpy(values: ArrayOrTensor) -> npt.NDArray[Any]:
    """Return a tensor of any device, or an array, as numpy; bfloat16, which numpy lacks, as float32."""
    if isinstance(values, np.ndarray) or "torch" not in sys.modules:
        return np.asarray(values)
    import torch

    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    array: npt.NDArray[Any] = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return array
