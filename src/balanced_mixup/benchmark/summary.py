"""The summary of a benchmark: for each method its scores, and how it compares with others.

Everything is per data set, backbone and metric. Seeds are averaged within a fold first. Intervals and p-values come from
`comparisons`; p-values are corrected for the number of methods (Holm) within each column of a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.comparisons import Comparisons, in_folds
from balanced_mixup.benchmark.results import ADDED, Results
from balanced_mixup.metrics import METRICS
from balanced_mixup.progress import progress_bar
from balanced_mixup.statistics.correlated_t_test import Chances, chances
from balanced_mixup.statistics.detectable_difference import detectable_difference
from balanced_mixup.statistics.paired_tests import UNDEFINED, Comparison, holm

LEVEL = 0.05
EQUIVALENT = 0.95  # the probability from which on methods are called equivalent

Standing = Literal["best", "equivalent", "worse", "undecided", "tied", "untested"]


@dataclass(frozen=True)
class MethodSummary:
    """One method on one data set with one backbone, by one metric.

    Args:
        data, backbone, metric, method: What is summarised.
        in_folds: The scores are those of folds, otherwise those of one test part.
        divisions: Number of divisions that some method was scored on.
        folds: Number of those on which this one has a score that is defined.
        trainings: Number of its trainings that have the score.
        median, lowest, highest: Over the divisions.
        mean: With its interval.
        difference: Mean of the differences to the baseline, with its interval and the uncorrected p-value; NaN for the baseline
            itself. On one test part with one training of either it is that of two trained models, and has no p-value.
        pairs: Number of divisions that the difference is over.
        p_corrected: Of the difference, after Holm.
        detectable: The smallest true difference to the baseline that the test finds (5 %, before Holm) with 80 % power.
        chances: How probable it is that the method is better than the baseline, equivalent to it within the margin, or worse.
        identical: It has the same score as the baseline in every division, as two collapsed models have: nothing is compared.
        standing: "best": the best mean of the methods that can be tested; "equivalent" to that one within the margin (with a
            probability of 95 %); significantly "worse" (5 %, after Holm); "undecided": the data are not enough for either;
            "tied": identical to the best, as above, or the best that others are identical to; "untested": not ranked, or of one
            training or fold.
        rank: By the mean among the methods that have all folds, 1 for the best; equal means share a rank. NaN for the others.
    """

    data: str
    backbone: str
    metric: str
    method: str
    in_folds: bool
    divisions: int
    folds: int
    trainings: int
    median: float
    lowest: float
    highest: float
    mean: Comparison
    difference: Comparison
    pairs: int
    p_corrected: float
    detectable: float
    chances: Chances
    identical: bool
    standing: Standing
    rank: float


def summarise(results: Results, metrics: Sequence[str] | Mapping[str, Sequence[str]]) -> list[MethodSummary]:
    """Return a summary for each data set, backbone, metric and method that has a score, in the order of the plan.

    Args:
        results: Of the benchmark.
        metrics: Names of metrics, or those of each data set by its name.
    """
    summaries = []
    places = _places(results.scores)
    bootstraps = sum(table["method"].nunique() for _, table in places if not in_folds(table))
    with progress_bar("Bootstrapping test images", bootstraps) as advance:
        for (data, backbone), table in places:
            methods = [method for method in results.methods if (table["method"] == method).any()]
            names = metrics[data] if isinstance(metrics, Mapping) else metrics
            compared = Comparisons(table, names, advance)
            for metric in names:
                column = _Column(compared, metric, methods, results.baseline, results.margin)
                summaries += [column.summary(data, backbone, method) for method in methods]
    return summaries


def _places(scores: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return data set and backbone with their scores, and with those that were added for the data set."""
    added = scores["backbone"] == ADDED
    return [
        ((str(data), str(backbone)), pd.concat([table, scores[added & (scores["data"] == data)]]))
        for (data, backbone), table in scores[~added].groupby(["data", "backbone"], sort=False)
    ]


@dataclass(frozen=True)
class _Tested:
    """The comparison of a method with another, its p-value after Holm, and whether the two are identical."""

    comparison: Comparison = UNDEFINED
    p_corrected: float = np.nan
    identical: bool = False


class _Column:
    """The methods by one metric, on one data set with one backbone."""

    def __init__(self, compared: Comparisons, metric: str, methods: Sequence[str], baseline: str, margin: float) -> None:
        self._compared, self._metric, self._methods, self._margin = compared, metric, methods, margin
        self._baseline = baseline
        self._higher = METRICS[metric].higher_is_better
        self._scores = {method: compared.scores(method, metric) for method in methods}
        self._means = {method: compared.compare(metric, method) for method in methods}
        # Means over fewer folds are not comparable: only methods that have all folds are ranked.
        most = max(len(values) for values in self._scores.values())
        whole = {method: self._means[method].mean if len(self._scores[method]) == most else np.nan for method in methods}
        self._ranks = pd.Series(whole).round(12).rank(ascending=not self._higher)
        self._to_baseline = self._against(methods, baseline)
        self._standings = self._compared_with_the_best()

    def summary(self, data: str, backbone: str, method: str) -> MethodSummary:
        """Return the summary of a method."""
        scores, to_baseline = self._scores[method], self._to_baseline[method]
        return MethodSummary(
            data,
            backbone,
            self._metric,
            method,
            in_folds=self._compared.in_folds,
            divisions=self._compared.divisions,
            folds=len(scores),
            trainings=self._compared.trainings(method, self._metric),
            median=float(np.median(scores)) if scores else np.nan,
            lowest=min(scores, default=np.nan),
            highest=max(scores, default=np.nan),
            mean=self._means[method],
            difference=to_baseline.comparison,
            pairs=len(self._compared.scores(method, self._metric, self._baseline)),
            p_corrected=to_baseline.p_corrected,
            detectable=detectable_difference(to_baseline.comparison.error, LEVEL),
            chances=chances(to_baseline.comparison, self._margin, higher_is_better=self._higher),
            identical=to_baseline.identical,
            standing=self._standings.get(method, "untested"),
            rank=float(self._ranks[method]),
        )

    def _against(self, methods: Sequence[str], other: str) -> dict[str, _Tested]:
        """Compare each method with one of them."""
        found = dict.fromkeys(methods, _Tested())
        for method in methods if other in methods else ():
            if method != other and self._compared.identical(self._metric, method, other):
                found[method] = _Tested(Comparison(0.0, np.nan, np.nan, np.nan), identical=True)
            elif method != other:
                found[method] = _Tested(self._compared.compare(self._metric, method, other))
        corrected = holm([found[method].comparison.p for method in methods])
        return {method: replace(found[method], p_corrected=p) for method, p in zip(methods, corrected, strict=True)}

    def _compared_with_the_best(self) -> dict[str, Standing]:
        """Return how each method that can be tested compares with the best of these."""
        tested = [method for method in self._methods if self._ranks[method] >= 1 and self._means[method].error is not None]
        if not tested:
            return {}
        best = min(tested, key=lambda method: self._ranks[method])
        found: dict[str, Standing] = {best: "best"}
        for method, each in self._against(tested, best).items():
            if each.identical:
                found[method] = found[best] = "tied"
            elif chances(each.comparison, self._margin).equivalent >= EQUIVALENT:
                found[method] = "equivalent"
            elif each.comparison.error is not None:
                found[method] = "worse" if each.p_corrected < LEVEL else "undecided"
        return found


def mean_ranks(summaries: Sequence[MethodSummary]) -> pd.DataFrame:
    """Return the mean rank of each method (rows) by each metric (columns), over all data sets and backbones that have it."""
    table = pd.DataFrame(
        [(summary.method, summary.metric, summary.rank) for summary in summaries], columns=["method", "metric", "rank"]
    )
    ranks = table.pivot_table("rank", "method", "metric", aggfunc="mean", sort=False)
    methods = dict.fromkeys(summary.method for summary in summaries)
    return ranks.reindex(index=list(methods), columns=list(dict.fromkeys(summary.metric for summary in summaries)))


_COLUMNS = {
    **{name: name for name in ("data", "backbone", "metric", "method", "divisions", "folds", "trainings")},
    **{name: name for name in ("median", "lowest", "highest")},
    **{"mean": "mean.mean", "mean_low": "mean.low", "mean_high": "mean.high"},
    **{"difference": "difference.mean", "difference_low": "difference.low", "difference_high": "difference.high"},
    **{"pairs": "pairs", "p": "difference.p", "p_corrected": "p_corrected", "detectable": "detectable"},
    **{name: f"chances.{name}" for name in ("better", "equivalent", "worse")},
    **{"identical": "identical", "standing": "standing", "rank": "rank"},
}


def long_table(summaries: Sequence[MethodSummary]) -> pd.DataFrame:
    """Return all numbers, a row per summary."""
    return pd.DataFrame({name: attrgetter(path)(summary) for name, path in _COLUMNS.items()} for summary in summaries)
