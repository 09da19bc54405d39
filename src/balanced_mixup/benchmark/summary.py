"""What a benchmark allows to say: for each method its scores over the folds, and how it compares with others.

Everything is per data set, backbone and metric. Seeds are averaged within a fold first. Where folds were made, intervals and
p-values come from the corrected resampled t-test over them; where the data bring one test part, from the bootstrap over its
images (groups, where there are any). P-values are corrected for the number of methods (Holm) within each column of a table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.results import Results, predictions_of
from balanced_mixup.evaluation.intervals import compare_trainings
from balanced_mixup.evaluation.predictions import Predictions
from balanced_mixup.evaluation.statistics import Comparison, corrected_resampled_t, holm
from balanced_mixup.metrics import METRICS

LEVEL = 0.05

_UNDEFINED = Comparison(np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Entry:
    """One method on one data set with one backbone, by one metric.

    Args:
        data, backbone, metric, method: Which.
        in_folds: The scores are those of folds, otherwise those of one given test part.
        folds: Number of divisions that were scored.
        median, lowest, highest: Over the divisions.
        mean: With its interval.
        difference: Mean of the paired differences to the baseline, with its interval and the p-value as it is; NaN for the
            baseline itself.
        p_corrected: Of the difference, after Holm.
        among_best: It has the best mean, or cannot be told from the method that has (5 %, after Holm).
        rank: By the mean among the methods that have all folds, 1 for the best; equal means share a rank. NaN for the others.
    """

    data: str
    backbone: str
    metric: str
    method: str
    in_folds: bool
    folds: int
    median: float
    lowest: float
    highest: float
    mean: Comparison
    difference: Comparison
    p_corrected: float
    among_best: bool
    rank: float


def summarise(results: Results, metrics: Sequence[str]) -> list[Entry]:
    """Return an entry for each data set, backbone, metric and method that has a score, in the order of the plan."""
    entries = []
    places = results.scores[["data", "backbone"]].drop_duplicates().itertuples(index=False)
    for data, backbone in places:
        part = results.scores[(results.scores["data"] == data) & (results.scores["backbone"] == backbone)]
        methods = [method for method in results.methods if (part["method"] == method).any()]
        compared = _Compared(part)
        for metric in metrics:
            entries += _column(data, backbone, metric, methods, results.baseline, compared)
    return entries


def _column(data: str, backbone: str, metric: str, methods: Sequence[str], baseline: str, compared: "_Compared") -> list[Entry]:
    scores = {method: compared.scores(method, metric) for method in methods}
    means = {method: compared.compare(metric, method) for method in methods}
    higher = METRICS[metric].higher_is_better
    # A mean over fewer folds is another score: only methods that have all of them are ranked.
    most = max(len(values) for values in scores.values())
    whole = {method: means[method].mean if len(scores[method]) == most else np.nan for method in methods}
    ranks = pd.Series(whole).round(12).rank(ascending=not higher)
    best = min(methods, key=lambda method: np.nan_to_num(ranks[method], nan=np.inf))
    to_baseline = _against(methods, baseline, lambda a, b: compared.compare(metric, a, b))
    to_best = _against(methods, best, lambda a, b: compared.compare(metric, a, b))
    return [
        Entry(
            data,
            backbone,
            metric,
            method,
            in_folds=compared.in_folds,
            folds=len(scores[method]),
            median=float(np.median(scores[method])) if len(scores[method]) else np.nan,
            lowest=min(scores[method], default=np.nan),
            highest=max(scores[method], default=np.nan),
            mean=means[method],
            difference=to_baseline[method][0],
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
    found = [_UNDEFINED if other not in methods or method == other else compare(method, other) for method in methods]
    corrected = holm([comparison.p for comparison in found])
    return dict(zip(methods, zip(found, corrected, strict=True), strict=True))


class _Compared:
    """The scores on one data set with one backbone; what the bootstrap gives is kept, as it holds for all metrics."""

    def __init__(self, part: pd.DataFrame) -> None:
        self._part = part
        self.in_folds = bool(part["test_share"].notna().all())
        self._bootstrapped: dict[tuple[str, str | None], dict[str, Comparison]] = {}

    def scores(self, method: str, metric: str) -> list[float]:
        """Return the score of each division where it is defined, the mean over the seeds."""
        return self._single(method, metric).dropna().groupby("fold").mean().tolist()

    def compare(self, metric: str, method: str, other: str | None = None) -> Comparison:
        """Return the mean of a method, or of its difference to another in the divisions that both have."""
        if not self.in_folds:
            return self._bootstrap(method, other)[metric]
        values = self._single(method, metric)
        if other is not None:
            values = values - self._single(other, metric)
        values = values.dropna().groupby("fold").mean()
        if values.empty:
            return _UNDEFINED
        return corrected_resampled_t(values.to_numpy(), float(self._part["test_share"].mean()))

    def _single(self, method: str, metric: str) -> pd.Series:
        """Return the score of each training, by fold and seed."""
        return self._part[self._part["method"] == method].set_index(["fold", "seed"])[metric]

    def _bootstrap(self, method: str, other: str | None) -> dict[str, Comparison]:
        if (method, other) not in self._bootstrapped:
            a = self._predictions(method)
            b = [] if other is None else self._predictions(other)
            of_a, of_b = ([each.probabilities for each in side] for side in (a, b))
            self._bootstrapped[method, other] = compare_trainings(a[0].labels, of_a, of_b, a[0].groups)
        return self._bootstrapped[method, other]

    def _predictions(self, method: str) -> list[Predictions]:
        return [predictions_of(row) for _, row in self._part[self._part["method"] == method].iterrows()]


def mean_ranks(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the mean rank of each method (rows) by each metric (columns), over all data sets and backbones that have it."""
    table = pd.DataFrame([(entry.method, entry.metric, entry.rank) for entry in entries], columns=["method", "metric", "rank"])
    ranks = table.pivot_table("rank", "method", "metric", aggfunc="mean", sort=False)
    methods = dict.fromkeys(entry.method for entry in entries)
    return ranks.reindex(index=list(methods), columns=list(dict.fromkeys(entry.metric for entry in entries)))


def long_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return all numbers, a row an entry."""
    return pd.DataFrame(
        {
            "data": entry.data,
            "backbone": entry.backbone,
            "metric": entry.metric,
            "method": entry.method,
            "folds": entry.folds,
            "median": entry.median,
            "lowest": entry.lowest,
            "highest": entry.highest,
            "mean": entry.mean.mean,
            "mean_low": entry.mean.low,
            "mean_high": entry.mean.high,
            "difference": entry.difference.mean,
            "difference_low": entry.difference.low,
            "difference_high": entry.difference.high,
            "p": entry.difference.p,
            "p_corrected": entry.p_corrected,
            "among_best": entry.among_best,
            "rank": entry.rank,
        }
        for entry in entries
    )
