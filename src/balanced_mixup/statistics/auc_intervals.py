"""Intervals of areas under the ROC curve, which hold for classes of a few images, too.

The interval of an area is Newcombe's method 5 (Statistics in Medicine 25, 2006, 559-573): the areas A at which the observed one
lies z standard errors away, with the variance of Hanley and McNeil (Radiology 143, 1982) at A, so that an area of 1 has an
interval, too. That variance is one for all shapes of the curve. What the images show, that of DeLong, DeLong and
Clarke-Pearson (Biometrics 44, 1988), comes in with the number of images: their ratio, averaged with 1 that counts as 20
images, divides the numbers of images. With groups they are divided by the design effect, too, the ratio of the variance over
groups (Obuchowski, Biometrics 53, 1997) to that of independent images where it is above 1, and z is a quantile of t.

The mean over classes has the interval of Zou and Donner (Statistics in Medicine 27, 2008, 1693-1702): the distances to the ends
of the classes' intervals add up as correlated errors do.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from balanced_mixup.metrics import Array
from balanced_mixup.statistics.interval import Interval

_ASSUMED = 20  # images that the variance of Hanley and McNeil counts as
_HALVINGS = 50


def area_intervals(
    labels: npt.NDArray[np.int64], p: Array, units: npt.NDArray[np.int64] | None, level: float = 0.95
) -> tuple[list[Interval], Interval]:
    """Return the area of each class against the rest, and their mean, with their intervals.

    Args:
        labels: (N,), from 0 to K - 1.
        p: (N, K), the probabilities.
        units: (N,), the group of each image, numbered from 0; None where images are independent.
        level: Probability inside the interval.
    """
    grouping = np.arange(len(labels)) if units is None else units
    groups = int(grouping.max()) + 1
    intervals, below, above, certain = [], np.zeros(groups), np.zeros(groups), np.zeros(2)
    for k in range(p.shape[1]):
        inside = labels == k
        if not 0 < inside.sum() < len(labels):
            intervals.append(Interval(math.nan))
            continue
        area, influence = _area(p[:, k], inside)
        by_group = np.bincount(grouping, weights=influence, minlength=groups).astype(np.float64)
        counts = [len(np.unique(grouping[rows])) for rows in (inside, ~inside)]
        interval = _interval(area, influence, by_group, inside, None if units is None else min(counts), level)
        intervals.append(interval)
        distances = np.array([area - interval.low, interval.high - area])
        if spread := float(np.sqrt((by_group**2).sum())):
            below += distances[0] / spread * by_group
            above += distances[1] / spread * by_group
        else:
            certain += distances**2
    defined = [interval.value for interval in intervals if not math.isnan(interval.value)]
    if not defined or groups < 2:
        return intervals, Interval(float(np.mean(defined)) if defined else math.nan)
    mean = float(np.mean(defined))
    low, high = np.sqrt(np.array([(below**2).sum(), (above**2).sum()]) + certain) / len(defined)
    return intervals, Interval(mean, max(0.0, mean - float(low)), min(1.0, mean + float(high)))


def _area(p: Array, inside: npt.NDArray[np.bool_]) -> tuple[float, Array]:
    """Return the area and the influence of each image on it, (N,), whose squares sum up to DeLong's variance."""
    ranks, n, m = rankdata(p), int(inside.sum()), int((~inside).sum())
    below = (ranks[inside] - rankdata(p[inside])) / m  # share of the rest that ranks below each image of the class
    area = float(below.mean())
    influence = np.empty(len(p))
    influence[inside] = (below - area) / n
    influence[~inside] = (1 - (ranks[~inside] - rankdata(p[~inside])) / n - area) / m
    return area, influence


def _interval(
    area: float, influence: Array, by_group: Array, inside: npt.NDArray[np.bool_], units: int | None, level: float
) -> Interval:
    n, m = int(inside.sum()), int((~inside).sum())
    seen, few = float((influence**2).sum()), min(n, m) if units is None else units
    assumed = float(_variance(np.array(area), n, m))
    ratio = seen / assumed if assumed > 0 else 0.0
    scale: float = (few * ratio + _ASSUMED) / (few + _ASSUMED)
    z = float(ndtri((1 + level) / 2))
    if units is not None:
        if units < 2:
            return Interval(area)
        z = float(stdtrit(units - 1, (1 + level) / 2))
        if seen > 0:
            groups = len(by_group)
            scale *= max(1.0, float((by_group**2).sum()) * groups / (groups - 1) / seen)
    # The ends, found by halving: the difference in standard errors grows with the distance from the area.
    near, far = np.full(2, area), np.array([0.0, 1.0])
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        outside = (area - middle) ** 2 > z**2 * _variance(middle, n / scale, m / scale)
        near, far = np.where(outside, near, middle), np.where(outside, middle, far)
    return Interval(area, float(near[0]), float(near[1]))


def _variance(area: Array, n: float, m: float) -> Array:
    """Return the variance of areas (...) of n and m images by Hanley and McNeil, with Newcombe's mean number for both."""
    pairs = (n + m) / 2 - 1
    found: Array = area * (1 - area) * (1 + pairs * ((1 - area) / (2 - area) + area / (1 + area))) / (n * m)
    return found
