"""The summary of a benchmark: for each method its scores over the folds, and how it compares with others.

Everything is per data set, backbone and metric. Seeds are averaged within a fold first. In cross-validation,
intervals and p-values come from the corrected resampled t-test over the folds; with a single test split, from the bootstrap
over its images (groups, where there are any). P-values are corrected for the number of methods (Holm) within each column of a
table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.results import ADDED, Results, predictions_of
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.progress import progress_bar
from balanced_mixup.runs.scores import defined_metrics
from balanced_mixup.statistics.bootstrap import Replicates, replicate
from balanced_mixup.statistics.paired_tests import Comparison, corrected_resampled_t, holm

LEVEL = 0.05

_UNDEFINED = Comparison(np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class MethodSummary:
    """One method on one data set with one backbone, by one metric.

    Args:
        data, backbone, metric, method: What is summarised.
        in_folds: The scores are those of folds, otherwise those of one given test split.
        divisions: Number of divisions that some method was scored on.
        folds: Number of those on which this one has a score that is defined.
        median, lowest, highest: Over the divisions.
        mean: With its interval.
        difference: Mean of the paired differences to the baseline, with its interval and the uncorrected p-value; NaN for the
            baseline itself.
        pairs: Number of divisions that the difference is over.
        p_corrected: Of the difference, after Holm.
        among_best: It has the best mean, or is not significantly different from the method that has (5 %, after Holm).
        rank: By the mean among the methods that have all folds, 1 for the best; equal means share a rank. NaN for the others.
    """

    data: str
    backbone: str
    metric: str
    method: str
    in_folds: bool
    divisions: int
    folds: int
    median: float
    lowest: float
    highest: float
    mean: Comparison
    difference: Comparison
    pairs: int
    p_corrected: float
    among_best: bool
    rank: float


def summarise(results: Results, metrics: Sequence[str] | Mapping[str, Sequence[str]]) -> list[MethodSummary]:
    """Return a summary for each data set, backbone, metric and method that has a score, in the order of the plan.

    Args:
        results: Of the benchmark.
        metrics: Names of metrics, or those of each data set by its name.
    """
    summaries = []
    places = _places(results.scores)
    bootstraps = sum(table["method"].nunique() for _, table in places if not _in_folds(table))
    with progress_bar("Bootstrapping test images", bootstraps) as advance:
        for (data, backbone), table in places:
            methods = [method for method in results.methods if (table["method"] == method).any()]
            names = metrics[str(data)] if isinstance(metrics, Mapping) else metrics
            compared = _Comparisons(table, names, advance)
            for metric in names:
                summaries += _column(str(data), str(backbone), metric, methods, results.baseline, compared)
    return summaries


def _places(scores: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return data set and backbone with their scores, and with those that were added for the data set."""
    added = scores["backbone"] == ADDED
    return [
        ((str(data), str(backbone)), pd.concat([table, scores[added & (scores["data"] == data)]]))
        for (data, backbone), table in scores[~added].groupby(["data", "backbone"], sort=False)
    ]


def _in_folds(table: pd.DataFrame) -> bool:
    return bool(table["test_share"].notna().all())


def _column(
    data: str, backbone: str, metric: str, methods: Sequence[str], baseline: str, compared: "_Comparisons"
) -> list[MethodSummary]:
    scores = {method: compared.scores(method, metric) for method in methods}
    means = {method: compared.compare(metric, method) for method in methods}
    higher = METRICS[metric].higher_is_better
    # Means over fewer folds are not comparable: only methods that have all folds are ranked.
    most = max(len(values) for values in scores.values())
    whole = {method: means[method].mean if len(scores[method]) == most else np.nan for method in methods}
    ranks = pd.Series(whole).round(12).rank(ascending=not higher)
    best = min(methods, key=lambda method: np.nan_to_num(ranks[method], nan=np.inf))
    to_baseline = _against(methods, baseline, lambda a, b: compared.compare(metric, a, b))
    to_best = _against(methods, best, lambda a, b: compared.compare(metric, a, b))
    return [
        MethodSummary(
            data,
            backbone,
            metric,
            method,
            in_folds=compared.in_folds,
            divisions=compared.divisions,
            folds=len(scores[method]),
            median=float(np.median(scores[method])) if len(scores[method]) else np.nan,
            lowest=min(scores[method], default=np.nan),
            highest=max(scores[method], default=np.nan),
            mean=means[method],
            difference=to_baseline[method][0],
            pairs=len(compared.scores(method, metric, baseline)),
            p_corrected=to_baseline[method][1],
            among_best=bool(ranks[method] >= 1) and (method == best or not to_best[method][1] < LEVEL),
            rank=float(ranks[method]),
        )
        for method in methods
    ]


def _against(
    methods: Sequence[str], other: str, compare: Callable[[str, str], Comparison]
) -> dict[str, tuple[Comparison, float]]:
    """Compare each method with one of them; returns each comparison with its corrected p-value."""
    comparisons = [_UNDEFINED if other not in methods or method == other else compare(method, other) for method in methods]
    corrected = holm([comparison.p for comparison in comparisons])
    return dict(zip(methods, zip(comparisons, corrected, strict=True), strict=True))


class _Comparisons:
    """The scores on one data set with one backbone; the bootstrap replicates of a given test split are cached by method."""

    def __init__(self, table: pd.DataFrame, metrics: Sequence[str], advance: Callable[[int], None]) -> None:
        self._table = table
        self._metrics = metrics
        self._advance = advance
        self._by_method: dict[str, pd.DataFrame] = {}
        self._drawn: dict[str, Replicates] = {}
        self._images: tuple[str, ...] = ()
        self.in_folds = _in_folds(table)
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

    def compare(self, metric: str, method: str, other: str | None = None) -> Comparison:
        """Return the mean of a method, or of its difference to another in the divisions that both have."""
        if not self.in_folds:
            drawn = self._draws(method)
            return (drawn if other is None else drawn - self._draws(other)).comparison(metric)
        values = self.scores(method, metric, other)
        return corrected_resampled_t(values, float(self._table["test_share"].mean())) if values else _UNDEFINED

    def _single(self, method: str, metric: str) -> pd.Series:
        """Return the score of each training, by fold and seed."""
        if method not in self._by_method:
            self._by_method[method] = self._table[self._table["method"] == method].set_index(["fold", "seed"])
        return self._by_method[method][metric]

    def _draws(self, method: str) -> Replicates:
        if method not in self._drawn:
            trainings = [predictions_of(row) for _, row in self._table[self._table["method"] == method].iterrows()]
            self._images = self._images or trainings[0].images
            if any(training.images != self._images for training in trainings):
                raise UsageError(f"Expected all methods to be scored on the same images, but {method!r} was on others.")
            each = [training.probabilities for training in trainings]
            defined = defined_metrics(trainings[0], self._metrics)
            drawn = replicate(trainings[0].labels, each, trainings[0].groups, metrics=defined)
            self._drawn[method] = drawn.without([name for name in self._metrics if name not in defined])
            self._advance(1)
        return self._drawn[method]


def mean_ranks(summaries: Sequence[MethodSummary]) -> pd.DataFrame:
    """Return the mean rank of each method (rows) by each metric (columns), over all data sets and backbones that have it."""
    table = pd.DataFrame(
        [(summary.method, summary.metric, summary.rank) for summary in summaries], columns=["method", "metric", "rank"]
    )
    ranks = table.pivot_table("rank", "method", "metric", aggfunc="mean", sort=False)
    methods = dict.fromkeys(summary.method for summary in summaries)
    return ranks.reindex(index=list(methods), columns=list(dict.fromkeys(summary.metric for summary in summaries)))


_COLUMNS = {
    **{name: name for name in ("data", "backbone", "metric", "method", "divisions", "folds", "median", "lowest", "highest")},
    **{"mean": "mean.mean", "mean_low": "mean.low", "mean_high": "mean.high"},
    **{"difference": "difference.mean", "difference_low": "difference.low", "difference_high": "difference.high"},
    **{"pairs": "pairs", "p": "difference.p", "p_corrected": "p_corrected", "among_best": "among_best", "rank": "rank"},
}


def long_table(summaries: Sequence[MethodSummary]) -> pd.DataFrame:
    """Return all numbers, a row per summary."""
    return pd.DataFrame({name: attrgetter(path)(summary) for name, path in _COLUMNS.items()} for summary in summaries)
