"""Two methods on one test part: several trainings of each, scored on the same images.

Another training of the same method gives another score, and so do other images. A method's score is therefore a mean over two
crossed random factors, the trainings and the images (or their groups), as in Owen, "The pigeonhole bootstrap", Annals of
Applied Statistics 1, 2007. Resampling the images alone calls two trainings of one method different in half of the pairs;
resampling two to five trainings, too, shrinks their variance by (S - 1)/S and takes it for known. So the images are resampled,
which works for every score, and the variance of the trainings is estimated as in a two-way layout with random factors:

    variance of a mean over S trainings = s^2 / S + (b - i / S)

s^2: of the S scores, with S - 1 degrees of freedom; it contains what trainings differ in on these images alone.
i: the mean variance, over the draws of images, of what a training differs in from the mean of all S.
b: the variance of the mean over the draws; i / S of it is already in s^2 / S.

Neither s^2 under i nor b under i / S is believed, so that the variance is at least the one of the images alone. In a
difference of two methods the trainings are independent, and the degrees of freedom are Welch's. Where they are not, because
methods with the same seed begin alike, a difference is more certain than its interval says. Those of b are the number of
images or groups less 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array
from balanced_mixup.statistics.bootstrap import Replicates
from balanced_mixup.statistics.paired_tests import Comparison
from balanced_mixup.statistics.standard_error import StandardError

LEVEL = 0.95

_SAME = 1e-9  # smaller deviations are rounding errors


def mean_over_trainings(trainings: Sequence[Replicates], name: str, units: int) -> Comparison:
    """Return the mean score of the trainings of a method.

    Args:
        trainings: Each one's replicates, on the same images and draws.
        name: Of the score.
        units: Number of images, or of groups where these were drawn.

    Returns:
        With an interval over trainings and images; of one training over the images alone, without p and error. NaN where the
        score is undefined in a training or in more than half of the draws.
    """
    return _tested([_Side.of(trainings, name)], units)


def difference_over_trainings(
    trainings: Sequence[Replicates], others: Sequence[Replicates], name: str, units: int
) -> Comparison:
    """Return the mean score of the trainings of one method less that of another's; see `mean_over_trainings`.

    With one training of either, the interval is that of these two trained models, and there is no p-value.
    """
    return _tested([_Side.of(trainings, name), _Side.of(others, name)], units)


@dataclass(frozen=True)
class _Side:
    """Scores (S,) of the trainings of a method, and those of R draws of images (S, R)."""

    scores: Array
    draws: Array

    @classmethod
    def of(cls, trainings: Sequence[Replicates], name: str) -> "_Side":
        if not trainings:
            raise UsageError("Expected at least one training of each method, but got none.")
        return cls(np.array([each.values[name] for each in trainings]), np.stack([each.draws[name] for each in trainings]))


def _tested(sides: Sequence[_Side], units: int) -> Comparison:
    """Return the mean of the only side, or that of the first less that of the second."""
    means = [float(side.scores.mean()) for side in sides]
    drawn = sides[0].draws.mean(0) if len(sides) == 1 else sides[0].draws.mean(0) - sides[1].draws.mean(0)
    mean = means[0] if len(sides) == 1 else means[0] - means[1]
    defined = ~np.isnan(drawn)
    if np.isnan(mean) or 2 * defined.sum() < len(drawn):
        return Comparison(mean, np.nan, np.nan, np.nan)
    if min(len(side.scores) for side in sides) == 1:
        low, high = np.quantile(drawn[defined], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Comparison(mean, float(low), float(high), np.nan)
    error = _error(sides, drawn[defined], defined, units)
    half = error.half_width(1 - LEVEL)
    return Comparison(mean, mean - half, mean + half, error.p_value(abs(mean)), error)


def _error(sides: Sequence[_Side], drawn: Array, defined: Array, units: int) -> StandardError:
    unshrunk = units / (units - 1)  # a bootstrap of n units has (n - 1) / n of the variance
    shared = float(drawn.var()) * unshrunk
    of_trainings, freedom = 0.0, 0.0
    for side in sides:
        count = len(side.scores)
        draws = side.draws[:, defined]
        interaction = float((draws - draws.mean(0)).var(1).sum()) / (count - 1) * unshrunk
        own = max(float(side.scores.var(ddof=1)), interaction) / count
        shared -= interaction / count
        of_trainings += own
        freedom += own**2 / (count - 1)
    parts = [(of_trainings, of_trainings**2 / freedom if freedom else 1.0), (shared, units - 1.0)]
    return StandardError(tuple(part for part in parts if part[0] > _SAME**2))
