"""Scores of a model with intervals whose coverage was simulated by `benchmarks/coverage.py`.

    >>> import numpy as np
    >>> labels = np.repeat([0, 1], [40, 3])
    >>> probabilities = np.where(labels[:, None] == [0, 1], 0.9, 0.1)
    >>> recall = score_intervals(labels, probabilities, classes=["benign", "melanoma"])["recall_1"]
    >>> recall.value, 0.4 < recall.low < 0.5, recall.high
    (1.0, True, 1.0)
    >>> recall.warning
    "Only 3 images of 'melanoma': too few to rely on the interval."

Scores of the confusion matrix have intervals from a posterior (`posterior.py`), areas under the ROC curve those of Newcombe
(`auc_intervals.py`), the average precision of a class that of Boyd, Eng and Page (ECML 2013), and a metric that reads the
images in a way of its own that of the percentile bootstrap.

A class of fewer than 10 images, or groups, is too small for any method: its scores, and the means over classes, carry a
warning; all do where there are fewer than 30 images, or groups, at all.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, Array, ArrayOrTensor, checked, class_auc, confusion, macro_auc
from balanced_mixup.statistics.auc_intervals import area_intervals
from balanced_mixup.statistics.bootstrap import bootstrap, units_of
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.posterior import table_intervals
from balanced_mixup.words import counted, listed

FEW_IN_CLASS = 10
FEW = 30


def score_intervals(
    labels: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    classes: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return scores with their intervals, and a warning where an interval may not hold.

    Args:
        labels: Integers (N,), 0 ... K - 1.
        probabilities: (N, K), rows summing to 1.
        groups: (N,), the patient ... of each image, whose images are not independent.
        classes: K names, for the warnings; numbers if not given.
        metrics: Names in `METRICS`; all if not given.
        level: Probability inside the interval.
        draws: From the posterior, a function of `seed`.

    Returns:
        These metrics, then "recall_0" ... "recall_{K-1}", and alike specificity, precision and npv; with a metric of the ROC
        curve among them, auc and average_precision, too. NaN where a score is undefined.

    Raises:
        UsageError: An argument is not as described.
    """
    y, p, _ = checked(labels, probabilities, None)
    if not 0 < level < 1:
        raise UsageError(f"Expected `level` to be between 0 and 1, such as 0.95, but got {level}.")
    if draws < 1:
        raise UsageError(f"Expected `draws` to be at least 1, but got {draws}.")
    wanted = tuple(METRICS) if metrics is None else tuple(metrics)
    units = None if groups is None else units_of(len(y), groups)
    of_table = [name for name in wanted if METRICS[name].statistic is confusion]
    found = table_intervals(y, p.argmax(1), p.shape[1], units, of_table, level=level, draws=draws, seed=seed)
    if any(METRICS[name].statistic is class_auc for name in wanted):
        areas, mean = area_intervals(y, p, units, level)
        found |= {f"auc_{k}": area for k, area in enumerate(areas)}
        found |= {f"average_precision_{k}": _average_precision(p[:, k], y == k, units, level) for k in range(p.shape[1])}
        found[macro_auc.name] = mean
    if others := [name for name in wanted if name not in found]:
        drawn = bootstrap(y, p, groups, metrics=others, replicates=draws, level=level, seed=seed)
        found |= {name: drawn[name].unless_constant() for name in others}
    warnings = SmallNumbers(y, p.shape[1], units, classes)
    warned = {name: found.pop(name).warned(warnings.of_metric(name)) for name in wanted}
    for name, interval in found.items():
        score, _, k = name.rpartition("_")
        warned[name] = interval.warned(warnings.of_class(score, int(k)))
    return warned


class SmallNumbers:
    """The sentences on too few images, or groups."""

    def __init__(
        self, labels: npt.NDArray[np.int64], classes: int, units: npt.NDArray[np.int64] | None, names: Sequence[str] | None
    ) -> None:
        """Count the images of each class, or their groups: `units` (N,) are numbers of the groups."""
        self._names = [str(name) for name in (range(classes) if names is None else names)]
        self._noun = "image" if units is None else "group"
        each = np.arange(len(labels)) if units is None else units
        self._total = len(np.unique(each))
        self._inside = [len(np.unique(each[labels == k])) for k in range(classes)]
        self._outside = [len(np.unique(each[labels != k])) for k in range(classes)]

    def of_metric(self, name: str) -> str | None:
        """Return the warning on a metric of all classes: a mean over classes is as uncertain as that of the rarest one."""
        few = [k for k, count in enumerate(self._inside) if 0 < count < FEW_IN_CLASS] if METRICS[name].macro else []
        return self._sentence([self._of(k) for k in few])

    def of_class(self, score: str, k: int) -> str | None:
        """Return the warning on a score of class `k`: specificity and NPV rest on the images of the other classes."""
        if score in ("specificity", "npv"):
            few = self._outside[k] < FEW_IN_CLASS
            return self._sentence([f"{counted(self._outside[k], self._noun)} of other classes than {self._names[k]!r}"] * few)
        return self._sentence([self._of(k)] * (self._inside[k] < FEW_IN_CLASS))

    def _of(self, k: int) -> str:
        return f"{counted(self._inside[k], self._noun)} of {self._names[k]!r}"

    def _sentence(self, few: Sequence[str]) -> str | None:
        if not few and self._total >= FEW:
            return None
        return f"Only {listed(few or [counted(self._total, self._noun)], most=3)}: too few to rely on the interval."


def _average_precision(p: Array, inside: npt.NDArray[np.bool_], units: npt.NDArray[np.int64] | None, level: float) -> Interval:
    """Return the mean precision at the ranks of the images of a class, as in scikit-learn.

    The interval is the binomial one of Boyd, Eng and Page, that of a proportion of the images of the class; here Jeffreys', and
    of its groups where there are groups.
    """
    n = int(inside.sum())
    if not n or n == len(p):
        return Interval(math.nan)
    order = np.argsort(-p)
    last = np.append(p[order][1:] != p[order][:-1], True)  # images of equal probability come in together
    hits = np.cumsum(inside[order])[last]
    value = float((np.diff(hits, prepend=0) * hits / (np.flatnonzero(last) + 1)).sum() / n)
    trials = n if units is None else len(np.unique(units[inside]))
    low, high = betaincinv(trials * value + 0.5, trials * (1 - value) + 0.5, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, min(value, float(low)), max(value, float(high)))
