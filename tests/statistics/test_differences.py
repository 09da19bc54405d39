"""The difference of a score between two sets of images."""

import math

import numpy as np
import pytest

from balanced_mixup.statistics.differences import difference
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.paired_tests import wilson


def test_with_wilsons_intervals_it_is_method_10_of_newcombe():
    """His example: 56 of 70 less 48 of 80 is 0.2 [0.0524, 0.3339]."""
    a, b = (Interval(hits / n, *map(float, wilson(hits / n, n))) for hits, n in ((56, 70), (48, 80)))
    found = difference(a, b)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_it_covers_the_true_difference():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        ends = [rng.binomial(n, share) / n for share, n in ((0.9, 15), (0.7, 200))]
        a, b = (Interval(share, *map(float, wilson(share, n))) for share, n in zip(ends, (15, 200), strict=True))
        found = difference(a, b)
        covered += found.low <= 0.2 <= found.high
    assert 930 <= covered <= 990


def test_what_is_undefined_or_without_interval_stays_so_and_a_warning_is_kept():
    assert math.isnan(difference(Interval(math.nan), Interval(0.5, 0.4, 0.6)).value)
    bare = difference(Interval(1.0, warning="few"), Interval(0.5, 0.4, 0.6))
    assert bare.value == 0.5 and math.isnan(bare.low) and bare.warning == "few"
