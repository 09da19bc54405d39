"""The Bayesian correlated t-test: against its formula, and how often it claims an equivalence that is not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from balanced_mixup.statistics.correlated_t_test import chances
from balanced_mixup.statistics.paired_tests import Comparison, corrected_resampled_t

SHARE = 0.25  # scored over training images: rho = 0.2


@given(st.lists(st.floats(-0.1, 0.1), min_size=3, max_size=12), st.floats(0.001, 0.1))
def test_it_is_the_posterior_of_the_paper(values, margin):
    d = np.array(values)
    if d.std() < 1e-6:
        return
    rho = 0.2
    scale = np.sqrt((1 / len(d) + rho / (1 - rho)) * d.var(ddof=1))
    posterior = stats.t(len(d) - 1, d.mean(), scale)
    found = chances(corrected_resampled_t(values, SHARE), margin)
    expected = posterior.sf(margin), posterior.cdf(margin) - posterior.cdf(-margin), posterior.cdf(-margin)
    assert (found.better, found.equivalent, found.worse) == pytest.approx(expected, abs=1e-9)
    turned = chances(corrected_resampled_t(values, SHARE), margin, higher_is_better=False)
    assert (turned.better, turned.worse) == pytest.approx((found.worse, found.better))


def test_what_is_unknown():
    found = chances(Comparison(0.1, np.nan, np.nan, np.nan), 0.01)
    assert np.isnan([found.better, found.equivalent, found.worse]).all()


def test_a_difference_of_the_margin_is_rarely_called_equivalent():
    """The differences of folds that share training images are correlated by rho."""
    rng = np.random.default_rng(0)
    noise = np.sqrt(0.2) * rng.normal(size=(4000, 1)) + np.sqrt(0.8) * rng.normal(size=(4000, 5))
    for spread in (0.001, 0.003, 0.01):
        claimed = [chances(corrected_resampled_t(0.01 + spread * d, SHARE), 0.01).equivalent >= 0.95 for d in noise]
        assert np.mean(claimed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
    equal = [chances(corrected_resampled_t(0.001 * d, SHARE), 0.01).equivalent >= 0.95 for d in noise]
    assert np.mean(equal) > 0.95  # where there are enough data, equal methods are found to be
