"""The detectable difference: against the noncentral t-distribution, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from balanced_mixup.statistics.detectable_difference import detectable_difference
from balanced_mixup.statistics.paired_tests import corrected_resampled_t
from balanced_mixup.statistics.standard_error import StandardError


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 50])
def test_one_source_has_the_power_of_the_t_test(freedom):
    c4 = math.sqrt(2 / freedom) * math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2)
    found = detectable_difference(StandardError(((0.04, float(freedom)),))) * c4 / 0.2
    quantile = stats.t.ppf(0.975, freedom)
    assert stats.nct.sf(quantile, freedom, found) == pytest.approx(0.8, abs=0.005)


def test_known_variance():
    assert detectable_difference(StandardError(((1.0, 1e7),))) == pytest.approx(1.959964 + 0.841621, rel=1e-3)
    assert detectable_difference(StandardError(((0.5, 1e7), (0.5, 1e7)))) == pytest.approx(2.801585, rel=1e-3)


def test_edges():
    assert np.isnan(detectable_difference(None))
    assert detectable_difference(StandardError(())) == 0


def test_more_power_or_a_stricter_test_need_more():
    error = StandardError(((0.01, 4.0), (0.02, 200.0)))
    assert detectable_difference(error, power=0.9) > detectable_difference(error) > detectable_difference(error, 0.1)


def test_what_is_shown_is_what_is_found():
    """Over five folds, of which the differences share a part of their noise: right within 20 % on average."""
    rng = np.random.default_rng(0)
    noise = np.sqrt(0.2) * rng.normal(size=(1000, 1)) + np.sqrt(0.8) * rng.normal(size=(1000, 5))
    found = [corrected_resampled_t(d, 0.25) for d in noise]
    shown = np.mean([detectable_difference(each.error) for each in found])
    power = np.mean([abs(each.mean + shown) > each.error.half_width(0.05) for each in found])
    assert 0.75 < power < 0.85
    halves, means = (
        np.array(values) for values in zip(*((each.error.half_width(0.05), each.mean) for each in found), strict=True)
    )
    assert shown == pytest.approx(np.quantile(halves - means, 0.8), rel=0.2)
