"""The uncertainty of a score: percentile intervals by the bootstrap (Efron 1979).

The test images are resampled with replacement and scored; the middle 95 % of 2,000 such scores are the interval. It shows
how much the score would vary with other test images of the same kind, not with another training run.

Images of one patient are alike, so two of them carry less information than two of different patients. With `groups` whole
groups are drawn (the cluster bootstrap), which gives the wider, honest interval. The draws are the same for every model with
the same images, so two models are compared by subtracting their replicates: the difficulty common to both cancels out, and the
interval of their difference is narrower than their two intervals suggest.

A replicate in which a score is undefined, such as the recall of a class that was not drawn, is left out for that score. Where
more than half are left out, or where there is only one image or group to draw from, the interval is (NaN, NaN).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.cells import Cells
from balanced_mixup.errors import UsageError
from balanced_mixup.formulas import class_precision, class_recall, label_counts
from balanced_mixup.metrics import (
    MANY_CLASSES,
    METRICS,
    Array,
    ArrayOrTensor,
    Images,
    confusion,
)
from balanced_mixup.randomness import generator
from balanced_mixup.statistics.interval import Interval

# Weights, or entries of confusion matrices, in one array (16 MiB as float64); a few such arrays exist at a time.
CHUNK_ENTRIES = 2**21
_LARGER = 4  # chunks with many classes, where each begins with work that does not depend on its size


@dataclass(frozen=True)
class Replicates:
    """Scores of the images themselves, and of R draws from them; their difference is that of two models on the same draws.

    Args:
        values: Each score by its name.
        draws: float64 (R,) for each; NaN where a score is undefined or there is only one unit to draw from.
    """

    values: Mapping[str, float]
    draws: Mapping[str, Array]

    def __sub__(self, other: "Replicates") -> "Replicates":
        """Return the differences, for the same images, seed and number of draws."""
        return Replicates(
            {name: value - other.values[name] for name, value in self.values.items()},
            {name: drawn - other.draws[name] for name, drawn in self.draws.items()},
        )

    def without(self, names: Sequence[str]) -> "Replicates":
        """Return the same with scores of these names that are undefined."""
        draws = np.full(len(next(iter(self.draws.values()))), np.nan)
        return Replicates({**self.values, **dict.fromkeys(names, math.nan)}, {**self.draws, **dict.fromkeys(names, draws)})

    def interval(self, name: str, level: float = 0.95) -> Interval:
        """Return a score with its interval. UsageError where `level` is not between 0 and 1."""
        if not 0 < level < 1:
            raise UsageError(f"Expected `level` to be between 0 and 1, such as 0.95, but got {level}.")
        return Interval(self.values[name], *_percentiles(self.draws[name], level))


def bootstrap(
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return metrics with their intervals.

    Args:
        y: Integers (N,), labels 0 ... K - 1.
        probabilities: (N, K), rows summing to 1.
        groups: (N,), the patient ... of each image; whole groups are drawn. Images are drawn where None.
        metrics: Names in `METRICS`; all if not given. The macro AUC takes most of the time.
        replicates: Number of draws.
        level: Proportion of the replicates inside the interval.
        seed: The draws are a function of it, and the same for every model with the same images.

    Returns:
        These metrics, then "recall_0" ... "recall_{K-1}" and "precision_0" ... "precision_{K-1}".

    Raises:
        UsageError: An argument is not as described.
    """
    (replicated,) = replicate(y, [probabilities], groups, metrics=metrics, replicates=replicates, seed=seed)
    return {name: replicated.interval(name, level) for name in replicated.values}


def paired_difference(
    y: ArrayOrTensor,
    probabilities_a: ArrayOrTensor,
    probabilities_b: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the difference a - b of every metric with its interval, both models scored on the same draws.

    An interval that excludes 0 means that the two differ on images like these. Arguments, names and errors as in `bootstrap`.
    """
    if probabilities_a.shape != probabilities_b.shape:
        raise UsageError(
            f"Expected `probabilities_b` to be of the shape of `probabilities_a`, {tuple(probabilities_a.shape)}, "
            f"but got {tuple(probabilities_b.shape)}."
        )
    a, b = replicate(y, [probabilities_a, probabilities_b], groups, replicates=replicates, seed=seed)
    difference = a - b
    return {name: difference.interval(name, level) for name in difference.values}


def replicate(
    y: ArrayOrTensor,
    models: Sequence[ArrayOrTensor],
    groups: npt.NDArray[np.str_] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> list[Replicates]:
    """Return the scores of several models on the images, and on the same bootstrap draws of them.

    Args:
        models: Each one's probabilities (N, K).
        y, groups, metrics, replicates, seed: As in `bootstrap`.

    Returns:
        For each model these metrics, then "recall_0" ... as in `bootstrap`.

    Raises:
        UsageError: An argument is not as described.
    """
    if replicates < 1:
        raise UsageError(f"Expected `replicates` to be at least 1, but got {replicates}.")
    metrics = tuple(METRICS) if metrics is None else metrics
    several = [Images(y, probabilities) for probabilities in models]
    values = [_estimates(images, None, metrics) for images in several]
    units = units_of(len(y), groups)
    chunks: list[list[dict[str, Array]]] = []
    if units.max() == 0:
        chunks.append([{name: np.full(replicates, np.nan) for name in each} for each in values])
    else:
        many = several[0].classes > MANY_CLASSES
        chunk = _LARGER * CHUNK_ENTRIES // len(y) if many else CHUNK_ENTRIES // max(len(y), several[0].classes ** 2)
        drawn = draws_of(units, replicates, max(1, chunk), seed)
        chunks += ([_estimates(images, weights, metrics) for images in several] for weights in drawn)
    return [
        Replicates(
            {name: float(value) for name, value in each.items()},
            {name: np.concatenate([chunk[model][name] for chunk in chunks]) for name in each},
        )
        for model, each in enumerate(values)
    ]


def _estimates(images: Images, weights: Array | None, metrics: Sequence[str]) -> dict[str, Array]:
    """Return metrics and the recall and precision of each class, arrays (...) for `weights` (..., N)."""
    table = images.confusion(weights)
    # Means over fewer classes are not comparable: macro scores are undefined where a draw misses a class.
    complete = None
    if weights is not None:
        complete = ~((label_counts(table) == 0) & (label_counts(images.confusion()) > 0)).any(-1)
    computed: dict[Any, Array | Cells] = {(confusion, macro): table for macro in (False, True)}
    estimates = {}
    for name in metrics:
        metric = METRICS[name]
        only = complete if metric.macro and metric.statistic is not confusion else None
        if (key := (metric.statistic, metric.macro)) not in computed:
            computed[key] = images.statistic(metric, weights if only is None or weights is None else weights[only])
        values = metric.of(computed[key])
        if metric.macro and complete is not None:
            defined = np.full(complete.shape, np.nan)
            defined[complete] = values[complete] if only is None else values
            values = defined
        estimates[name] = values
    for name, by_class in (("recall", class_recall(table)), ("precision", class_precision(table))):
        estimates |= {f"{name}_{k}": by_class[..., k] for k in range(by_class.shape[-1])}
    return estimates


def units_of(images: int, groups: npt.NDArray[np.str_] | None) -> npt.NDArray[np.int64]:
    """Return the sampling unit of each image, int64 (N,), numbered from 0: its group, or the image itself."""
    if groups is None:
        return np.arange(images)
    if np.shape(groups) != (images,):
        raise UsageError(f"Expected `groups` to be of shape ({images},), but got {np.shape(groups)}.")
    return np.unique(groups, return_inverse=True)[1]


def draws_of(units: npt.NDArray[np.int64], replicates: int, chunk: int, seed: int) -> Iterator[Array]:
    """Yield how often each image was drawn, float64 (at most `chunk`, N), until there are `replicates` rows.

    The draws are one stream, so they do not depend on `chunk`.
    """
    rng = generator(seed, "bootstrap")
    count = int(units.max()) + 1
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield np.take(times.astype(np.float64), units, axis=1)


def _percentiles(values: Array, level: float) -> tuple[float, float]:
    """Return the ends of the middle `level` of the values (R,) that are defined; NaN where more than half are not."""
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
