"""Intervals of scores of the confusion matrix, which hold for classes of a few images, too.

The percentile bootstrap fails there: three of three images recognised vary in no draw. Here every score is computed on draws
from a posterior of the confusion matrix, the Bayesian bootstrap (Rubin, Annals of Statistics 9, 1981): images count with
weights from an exponential distribution. To each class half an image that is recognised and half a one that is taken for
another class are added, Jeffreys' prior. So a recall of k of n images has the distribution Beta(k + 1/2, n - k + 1/2), whose
quantiles are Jeffreys' interval (Brown, Cai and DasGupta, Statistical Science 16, 2001).

Balanced accuracy and macro-F1 are means over classes: the distances from the scores of the classes to the ends of their
intervals add up as errors do that are correlated as the draws are (Zou and Donner, Statistics in Medicine 27, 2008). The
quantiles of the mean would lie too low for a good model, as what is added draws every class towards 1/2.

For specificity and NPV the other classes are one, to which half an image that is not predicted as the class is added. What
is added to each of them would outweigh their images where they are many and small.

With groups, the images of a group share one weight, and half a group is added in place of half an image. Few groups show less
than their true variance, so the weights are spread by the ratio of the quantiles of t and normal distribution. An interval is
at least as wide as that of independent images.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from balanced_mixup.cells import Cells, Pairs
from balanced_mixup.formulas import CLASS_SCORES, true_negatives
from balanced_mixup.metrics import MANY_CLASSES, METRICS, Array
from balanced_mixup.randomness import generator
from balanced_mixup.statistics.interval import Interval

Integers = npt.NDArray[np.int64]

MEANS = {"balanced_accuracy": "recall", "macro_f1": "f1"}  # metrics that are means of a score of each class
_ENTRIES = 2**21  # of the weights, or of the tables, in one array (16 MiB as float64)


def table_intervals(
    labels: Integers,
    predicted: Integers,
    classes: int,
    units: Integers | None,
    metrics: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return scores of the confusion matrix with their intervals.

    Args:
        labels, predicted: (N,), from 0 to `classes` - 1.
        classes: K.
        units: (N,), the group of each image, numbered from 0; None where images are independent.
        metrics: Names in `METRICS` whose statistic is `confusion`.
        level: Probability inside the interval.
        draws: From the posterior, a function of `seed`.

    Returns:
        These metrics, then "recall_0" ... for each of `CLASS_SCORES`. Without an interval where there is one class alone.
    """
    table = Pairs(labels, predicted, classes).counted(np.ones(len(labels)))
    values = _scores(table, table, metrics)
    if np.count_nonzero(table.of_labels()) < 2:
        return {name: Interval(float(value)) for name, value in values.items()}
    prior = _Prior(table.of_labels())
    designs = [prior.of_images(table, draws, seed)]
    if units is not None:
        designs.append(prior.of_groups(labels, predicted, units, level, draws, seed))
    found = [_intervals(values, _joined(_drawn_scores(each, metrics) for each in chunks), level) for chunks in designs]
    return {name: _hull([each[name] for each in found]) for name in values}


@dataclass(frozen=True)
class _Drawn:
    """Drawn tables for scores of classes and for scores of all images, and (R, K) the true negatives of each class."""

    by_class: Cells
    overall: Cells
    negatives: Array


class _Prior:
    """What is added to a confusion matrix: to each class with images half an image on the diagonal, and half a one off it."""

    def __init__(self, counts: Array) -> None:
        self._classes, present = len(counts), np.flatnonzero(counts)
        if self._classes <= MANY_CLASSES:
            self._labels, self._predicted = (part.ravel() for part in np.meshgrid(present, present, indexing="ij"))
            wrong = 0.5 / (len(present) - 1)
        else:  # all cells would be too many: one other class stands for the rest
            self._labels, self._predicted = np.tile(present, 2), np.concatenate([present, np.roll(present, -1)])
            wrong = 0.5
        self._shapes = np.where(self._labels == self._predicted, 0.5, wrong)
        # In a score of all images it would weigh as much as many of them: there it comes in by the share of its class.
        self._shares = (counts / counts.sum())[self._labels]
        self._added = self._pairs(self._labels[:0], self._predicted[:0])

    def of_images(self, table: Cells, draws: int, seed: int) -> Iterator[_Drawn]:
        """Yield tables drawn for independent images: their weights add up to a gamma variable in each cell."""
        rng = generator(seed, "posterior")
        pairs = self._pairs(table.labels, table.predictions)
        for rows in self._chunks(draws, len(self._shapes) + table.counts.size):
            weights = rng.standard_gamma(table.counts, (rows, table.counts.size))
            yield self._tables(pairs, weights, rng, np.ones(self._classes), np.ones(self._classes))

    def of_groups(
        self, labels: Integers, predicted: Integers, units: Integers, level: float, draws: int, seed: int
    ) -> Iterator[_Drawn]:
        """Yield tables drawn for groups, whose images of a class count for how much is added to it."""
        rng = generator(seed, "posterior of groups")
        count = int(units.max()) + 1
        # The variance of a mean of weighted groups is 1 / (shape G + 1), where 1 / (G - 1) is without bias.
        z, t = ndtri((1 + level) / 2), stdtrit(max(1, count - 1), (1 + level) / 2)
        shape = float((z / t) ** 2 * (count - 1) / (count + 1)) or 1.0
        sizes = np.ones(self._classes)
        for k in np.unique(labels):
            members = units[labels == k]
            sizes[k] = len(members) / len(np.unique(members))
        rest = _sizes_of_rest(labels, units, self._classes)
        pairs = self._pairs(labels, predicted)
        for rows in self._chunks(draws, len(self._shapes) + len(units)):
            weights = rng.standard_gamma(shape, (rows, count)) / shape
            yield self._tables(pairs, np.take(weights, units, axis=1), rng, sizes, rest)

    def _pairs(self, labels: Integers, predicted: Integers) -> Pairs:
        return Pairs(np.concatenate([labels, self._labels]), np.concatenate([predicted, self._predicted]), self._classes)

    def _tables(self, pairs: Pairs, weights: Array, rng: np.random.Generator, sizes: Array, rest: Array) -> _Drawn:
        """Return the tables for some weights of the images; what is added is in proportion to `sizes` and `rest`, (K,)."""
        added = rng.standard_gamma(self._shapes, (len(weights), len(self._shapes)))
        added *= np.minimum(sizes[self._labels], sizes[self._predicted])
        each = (np.concatenate([weights, part], axis=1) for part in (added, added * self._shares))
        by_class, overall = (pairs.counted(part) for part in each)
        images = np.maximum(true_negatives(by_class) - true_negatives(self._added.counted(added)), 0)
        return _Drawn(by_class, overall, images + rest * rng.standard_gamma(0.5, images.shape))

    def _chunks(self, draws: int, entries: int) -> Iterator[int]:
        rows = max(1, _ENTRIES // entries)
        for start in range(0, draws, rows):
            yield min(rows, draws - start)


def _scores(by_class: Cells, overall: Cells, metrics: Sequence[str]) -> dict[str, Array]:
    """Return metrics and the scores of each class, (...), of tables for each of the two."""
    of_classes, of_all = (cells if cells.classes > MANY_CLASSES else cells.dense() for cells in (by_class, overall))
    scores = {}
    for metric in (METRICS[name] for name in metrics):
        # Of ordinal classes an error of many grades, which no image may show, counts as many of one: all that is added counts.
        scores[metric.name] = metric.of(of_classes if metric.macro or metric.ordinal else of_all)
    for name, formula in CLASS_SCORES.items():
        found = formula(of_classes)
        scores |= {f"{name}_{k}": found[..., k] for k in range(by_class.classes)}
    return scores


def _drawn_scores(drawn: _Drawn, metrics: Sequence[str]) -> dict[str, Array]:
    """Return the same of drawn tables."""
    scores, right = _scores(drawn.by_class, drawn.overall, metrics), drawn.by_class.diagonal()
    for name, all_of in (("specificity", drawn.by_class.of_predictions()), ("npv", drawn.by_class.of_labels())):
        found = drawn.negatives / (drawn.negatives + all_of - right)
        scores |= {f"{name}_{k}": found[:, k] for k in range(drawn.by_class.classes)}
    return scores


def _sizes_of_rest(labels: Integers, units: Integers, classes: int) -> Array:
    """Return how many images of other classes a group has that has any, the mean for each class, (K,)."""
    pairs = np.unique(np.stack([units, labels], axis=1), axis=0)
    alone = np.bincount(pairs[:, 0])[pairs[:, 0]] == 1
    groups = len(np.unique(units)) - np.bincount(pairs[alone, 1], minlength=classes)
    return np.asarray((len(labels) - np.bincount(labels, minlength=classes)) / np.maximum(groups, 1))


def _joined(chunks: Iterable[dict[str, Array]]) -> dict[str, Array]:
    parts = list(chunks)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _intervals(values: Mapping[str, Array], drawn: Mapping[str, Array], level: float) -> dict[str, Interval]:
    found = {name: _around(float(value), drawn[name], level) for name, value in values.items()}
    for name, score in MEANS.items():
        if name in found:
            classes = [each for each in found if each.startswith(f"{score}_") and not math.isnan(found[each].value)]
            found[name] = _mean_interval([found[each] for each in classes], np.array([drawn[each] for each in classes]))
    return found


def _mean_interval(scores: Sequence[Interval], errors: Array) -> Interval:
    """Return the mean of scores with its interval.

    Args:
        scores: K scores with their intervals.
        errors: (K, R), numbers whose correlations are those of the errors of the scores, such as draws.
    """
    mean = float(np.mean([score.value for score in scores]))
    spread = errors.std(axis=1, keepdims=True)
    z = np.divide(errors - errors.mean(axis=1, keepdims=True), spread, out=np.zeros(errors.shape), where=spread > 0)
    low, high = (
        float(np.sqrt(((distances @ z) ** 2).mean() + (distances[spread[:, 0] == 0] ** 2).sum())) / len(scores)
        for distances in np.array([[score.value - score.low, score.high - score.value] for score in scores]).T
    )
    return Interval(mean, mean - low, mean + high)


def _around(value: float, drawn: Array, level: float) -> Interval:
    """Return the middle `level` of the draws, and the value, which lies outside of it at the end of its range."""
    defined = drawn[~np.isnan(drawn)]
    if math.isnan(value) or not len(defined):
        return Interval(value)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, min(value, float(low)), max(value, float(high)))


def _hull(intervals: Sequence[Interval]) -> Interval:
    """Return the interval that contains all of them."""
    low, high = min(each.low for each in intervals), max(each.high for each in intervals)
    return Interval(intervals[0].value, low, high) if low < high else Interval(intervals[0].value)
