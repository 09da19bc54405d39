"""The difference of a score between two sets of images that have none in common."""

import math

from balanced_mixup.statistics.interval import Interval


def difference(a: Interval, b: Interval) -> Interval:
    """Return a - b with the interval of two independent estimates; NaN where either is undefined.

    The distances of both scores to their own ends are combined as those of a sum of independent errors (Newcombe, Statistics in
    Medicine 1998, method 10; Zou and Donner, Statistics in Medicine 2008), so that the interval is as good as the two. It is
    too wide, not too narrow, where groups have images in both sets, whose scores then err alike.
    """
    value = a.value - b.value
    if any(math.isnan(end) for end in (value, a.low, a.high, b.low, b.high)):
        return Interval(value).warned(a.warning or b.warning)
    down, up = math.hypot(a.value - a.low, b.high - b.value), math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value, value - down, value + up).warned(a.warning or b.warning)
