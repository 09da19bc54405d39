"""How sure a score is: percentile intervals by the bootstrap (Efron 1979).

The test images are drawn again with replacement, as many as there are, and scored; the middle 95 % of 2,000 such scores are the
interval. It tells how far the score would move with other test images of the same kind, not with another training run.

Images of one patient are alike, so two of them say less than two of different patients. With `groups` whole groups are drawn
(the cluster bootstrap), which gives the wider, honest interval. Two models are compared on the same draws
(`paired_difference`): what makes an image hard for both cancels out, and the interval of their difference is narrower than
their two intervals suggest.

A replicate in which a score is undefined, such as the recall of a class that was not drawn, is left out for that score. Where
more than half are left out, or where there is only one image or group to draw from, the interval is (NaN, NaN).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.statistics import Comparison
from balanced_mixup.metrics import Array, ArrayOrTensor, class_precision, class_recall, confusion, weighted_scores
from balanced_mixup.randomness import generator

# Weights, or entries of confusion matrices, that are held at once (16 MiB as float64); a few such arrays live together.
CHUNK_ENTRIES = 2**21


_MACRO = ("balanced_accuracy", "macro_f1", "macro_auc")


@dataclass(frozen=True)
class Interval:
    """A score of the images themselves, and the percentile interval `low` to `high` of its replicates."""

    value: float
    low: float
    high: float


def bootstrap(
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return every metric with its interval.

    Args:
        y: Integers (N,), labels 0 ... K - 1.
        probabilities: (N, K), rows summing to 1.
        groups: (N,), the patient ... of each image; whole groups are drawn. Images are drawn where None.
        replicates: Number of draws.
        level: Share of the replicates inside the interval.
        seed: The draws are a function of it, and the same for every model with the same images.

    Returns:
        The names in `METRICS`, then "recall_0" ... "recall_{K-1}" and "precision_0" ... "precision_{K-1}".

    Raises:
        UsageError: An argument is not as described.
    """

    def estimate(weights: Array | None) -> dict[str, Array]:
        return _estimates(y, probabilities, weights)

    return _intervals(estimate, y, probabilities, groups, replicates, level, seed)


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

    An interval without 0 says that the two differ on images like these. Arguments, names and errors as in `bootstrap`.
    """
    if probabilities_a.shape != probabilities_b.shape:
        raise UsageError(
            f"Expected `probabilities_b` to be of the shape of `probabilities_a`, {tuple(probabilities_a.shape)}, "
            f"but got {tuple(probabilities_b.shape)}."
        )

    def estimate(weights: Array | None) -> dict[str, Array]:
        a, b = (_estimates(y, probabilities, weights) for probabilities in (probabilities_a, probabilities_b))
        return {name: a[name] - b[name] for name in a}

    return _intervals(estimate, y, probabilities_a, groups, replicates, level, seed)


def compare_trainings(
    y: ArrayOrTensor,
    probabilities_a: Sequence[ArrayOrTensor],
    probabilities_b: Sequence[ArrayOrTensor] = (),
    groups: npt.NDArray[np.str_] | None = None,
    *,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Return the mean score of some trainings, less that of others if there are any, all scored on the same draws.

    Args:
        probabilities_a, probabilities_b: Each training's (N, K).
        y, groups, replicates, level, seed: As in `bootstrap`.

    Returns:
        For the names of `bootstrap`. Its p-value is twice the share of the replicates on the other side of 0.
    """

    def estimate(weights: Array | None) -> dict[str, Array]:
        a, b = ([_estimates(y, each, weights) for each in side] for side in (probabilities_a, probabilities_b))
        names = a[0]
        return {name: _mean(a, name) - (_mean(b, name) if b else 0.0) for name in names}

    values, draws = _replicates(estimate, y, probabilities_a[0], groups, replicates, level, seed)
    return {
        name: Comparison(float(value), *_percentiles(draws[name], level), _other_side(draws[name]))
        for name, value in values.items()
    }


def _mean(estimates: Sequence[dict[str, Array]], name: str) -> Array:
    return np.asarray(np.mean([each[name] for each in estimates], axis=0))


def _other_side(values: Array) -> float:
    """Return twice the share of the values (R,) beyond 0, counting one more, as no p-value of R draws is 0.

    NaN where more than half are not defined.
    """
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return np.nan
    return min(1.0, 2 * (1 + int(min((defined <= 0).sum(), (defined >= 0).sum()))) / (1 + len(defined)))


def _estimates(y: ArrayOrTensor, probabilities: ArrayOrTensor, weights: Array | None) -> dict[str, Array]:
    """Return every metric and the recall and precision of each class, arrays (...) for `weights` (..., N)."""
    estimates = weighted_scores(y, probabilities, weights)
    table = confusion(y, probabilities, weights)
    if weights is not None:
        # A mean over fewer classes is another score: where a draw misses a class of the images, macro scores are undefined.
        missed = ((table.sum(-1) == 0) & (confusion(y, probabilities).sum(-1) > 0)).any(-1)
        estimates |= {name: np.where(missed, np.nan, estimates[name]) for name in _MACRO}
    for name, values in (("recall", class_recall(table)), ("precision", class_precision(table))):
        estimates |= {f"{name}_{k}": values[..., k] for k in range(values.shape[-1])}
    return estimates


def _intervals(
    estimate: Callable[[Array | None], dict[str, Array]],
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None,
    replicates: int,
    level: float,
    seed: int,
) -> dict[str, Interval]:
    """Return the estimates of the images themselves with their intervals over the draws."""
    values, draws = _replicates(estimate, y, probabilities, groups, replicates, level, seed)
    return {name: Interval(float(value), *_percentiles(draws[name], level)) for name, value in values.items()}


def _replicates(
    estimate: Callable[[Array | None], dict[str, Array]],
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None,
    replicates: int,
    level: float,
    seed: int,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the estimates of the images themselves, and those of all draws, each (R,); NaN where there is one unit alone."""
    if replicates < 1:
        raise UsageError(f"Expected `replicates` to be at least 1, but got {replicates}.")
    if not 0 < level < 1:
        raise UsageError(f"Expected `level` to be between 0 and 1, such as 0.95, but got {level}.")
    values = estimate(None)
    units = _units(len(y), groups)
    if units.max() == 0:
        return values, {name: np.full(replicates, np.nan) for name in values}
    chunk = max(1, CHUNK_ENTRIES // max(len(y), probabilities.shape[1] ** 2))
    draws: dict[str, list[Array]] = {name: [] for name in values}
    for weights in _draws(units, replicates, chunk, seed):
        for name, replicate_values in estimate(weights).items():
            draws[name].append(replicate_values)
    return values, {name: np.concatenate(parts) for name, parts in draws.items()}


def _units(images: int, groups: npt.NDArray[np.str_] | None) -> npt.NDArray[np.int64]:
    """Return what each image is drawn with, int64 (N,), numbered from 0: its group, or the image itself."""
    if groups is None:
        return np.arange(images)
    if np.shape(groups) != (images,):
        raise UsageError(f"Expected `groups` to be of shape ({images},), but got {np.shape(groups)}.")
    return np.unique(groups, return_inverse=True)[1]


def _draws(units: npt.NDArray[np.int64], replicates: int, chunk: int, seed: int) -> Iterator[Array]:
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
