"""The scores of the methods on one data set with one backbone, and their comparisons.

In cross-validation a comparison is the corrected resampled t-test over the folds. On a single test part, or on external data,
it is over the trainings and the images together (`statistics.two_way_bootstrap`). Where a method has one training there, two
trained models can be compared but not two methods: there is an interval over the images, and no p-value.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.results import ADDED, predictions_of
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.scores import defined_metrics
from balanced_mixup.statistics.bootstrap import Replicates, replicate, units_of
from balanced_mixup.statistics.paired_tests import UNDEFINED, Comparison, corrected_resampled_t
from balanced_mixup.statistics.scoring import SmallNumbers
from balanced_mixup.statistics.two_way_bootstrap import difference_over_trainings, mean_over_trainings

_SAME = 1e-9  # smaller differences of scores are rounding errors


class Comparisons:
    """The scores on one data set with one backbone; the bootstrap replicates of a single test part are cached by method."""

    def __init__(self, table: pd.DataFrame, metrics: Sequence[str], advance: Callable[[int], None]) -> None:
        """Args: table: rows of `Results.scores`. metrics: that are compared. advance: is called after each bootstrap."""
        self._table = table
        self._metrics = metrics
        self._advance = advance
        self._by_method: dict[str, pd.DataFrame] = {}
        self._drawn: dict[str, list[Replicates]] = {}
        self._images: tuple[str, ...] = ()
        self._units = 0
        self._small: dict[str, str | None] = {}  # by metric, why a test of a mean over classes would not hold
        self.in_folds = in_folds(table)
        self.divisions = table["fold"].nunique()

    def scores(self, method: str, metric: str, other: str | None = None) -> list[float]:
        """Return the score in each division, or the difference to another method's, where defined; the mean over the seeds."""
        values = self._single(method, metric)
        if other is not None:
            theirs = self._single(other, metric)
            if ADDED in {*values.index.get_level_values("seed"), *theirs.index.get_level_values("seed")}:
                values, theirs = (each.groupby("fold").mean() for each in (values, theirs))  # an added row has no seeds
            values = values - theirs
        return values.dropna().groupby("fold").mean().tolist()

    def trainings(self, method: str, metric: str) -> int:
        """Return the number of trainings of a method that have the score."""
        return int(self._single(method, metric).notna().sum())

    def compare(self, metric: str, method: str, other: str | None = None) -> Comparison:
        """Return the mean of a method, or of its difference to another."""
        if self.in_folds:
            values = self.scores(method, metric, other)
            return corrected_resampled_t(values, float(self._table["test_share"].mean())) if values else UNDEFINED
        own = self._draws(method)
        if other is None:
            return mean_over_trainings(own, metric, self._units)
        found = difference_over_trainings(own, self._draws(other), metric, self._units)
        return found.untested() if METRICS[metric].macro and self._small[metric] else found

    def identical(self, metric: str, method: str, other: str) -> bool:
        """Return whether two methods have the same score, one and the same in several trainings.

        So have collapsed models, which predict one class whatever the image is; it says nothing about their methods.
        """
        differences = np.subtract.outer(*(self._single(each, metric).dropna().to_numpy() for each in (method, other)))
        if self.in_folds:
            differences = np.array(self.scores(method, metric, other))
        return differences.size > 1 and bool((np.abs(differences) < _SAME).all())

    def _single(self, method: str, metric: str) -> pd.Series:
        """Return the score of each training, by fold and seed."""
        if method not in self._by_method:
            self._by_method[method] = self._table[self._table["method"] == method].set_index(["fold", "seed"])
        return self._by_method[method][metric]

    def _draws(self, method: str) -> list[Replicates]:
        if method not in self._drawn:
            trainings = [predictions_of(row) for _, row in self._table[self._table["method"] == method].iterrows()]
            first = trainings[0]
            self._images = self._images or first.images
            if any(training.images != self._images for training in trainings):
                raise UsageError(f"Expected all methods to be scored on the same images, but {method!r} was on others.")
            units = units_of(len(first), first.groups)
            self._units = int(units.max()) + 1
            small = SmallNumbers(first.labels, len(first.classes), None if first.groups is None else units, first.classes)
            self._small = {name: small.of_metric(name) for name in self._metrics}
            defined = defined_metrics(first, self._metrics)
            lacking = [name for name in self._metrics if name not in defined]
            each = [training.probabilities for training in trainings]
            drawn = replicate(first.labels, each, first.groups, metrics=defined)
            self._drawn[method] = [replicates.without(lacking) for replicates in drawn]
            self._advance(1)
        return self._drawn[method]


def in_folds(table: pd.DataFrame) -> bool:
    """Return whether rows of `Results.scores` are of folds, and not of one given test part or external data."""
    return bool(table["test_share"].notna().all())
