"""The corrected resampled t-test, Holm's correction and Wilson's interval, against hand-worked numbers and references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from balanced_mixup.errors import UsageError
from balanced_mixup.statistics.paired_tests import corrected_resampled_t, holm, wilson


class TestCorrectedT:
    def test_by_hand(self):
        # d = 1, 2, 3, 4, 5: mean 3, s^2 = 2.5; five folds: (1/5 + 1/4) 2.5 = 1.125, t = 3 / sqrt(1.125) = 2.828427 with 4
        # degrees of freedom: p = 0.047421 (table of t); the quantile 2.776445 times sqrt(1.125) = 2.944865.
        found = corrected_resampled_t([1, 2, 3, 4, 5], 0.25)
        assert found.mean == 3
        assert found.p == pytest.approx(0.0474, abs=5e-5)
        assert (found.low, found.high) == pytest.approx((3 - 2.944865, 3 + 2.944865), abs=1e-5)

    @given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), st.floats(0.9, 0.99))
    def test_without_overlap_it_is_the_ordinary_t_test(self, values, level):
        if np.std(values) < 1e-6:
            return
        found = corrected_resampled_t(values, 1e-12, level)
        reference = stats.ttest_1samp(values, 0)
        assert found.p == pytest.approx(reference.pvalue, abs=1e-6)
        assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval(level)), abs=1e-6)

    def test_overlap_makes_it_less_sure(self):
        values = np.random.default_rng(0).normal(0.5, 1, 10)
        p = [corrected_resampled_t(values, share).p for share in (1e-9, 0.1, 0.25, 1.0)]
        assert p == sorted(p)

    def test_it_keeps_its_level_where_the_ordinary_test_does_not(self):
        # Differences of folds that share a part of their noise, as those with common training images do; none in truth.
        rng = np.random.default_rng(0)
        shared = rng.normal(size=(2000, 1)) * np.sqrt(0.2)
        draws = shared + rng.normal(size=(2000, 5)) * np.sqrt(0.8)
        corrected = np.mean([corrected_resampled_t(d, 0.25).p < 0.05 for d in draws])
        assert np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05) > 0.1
        assert corrected < 0.06

    def test_edges(self):
        single = corrected_resampled_t([0.4], 0.25)
        assert single.mean == 0.4 and np.isnan([single.low, single.high, single.p]).all()
        assert single.error is None  # nothing can be tested
        assert corrected_resampled_t([0.0, 0.0], 0.25).p == 1
        assert corrected_resampled_t([0.5, 0.5], 0.25).p == 0

    @pytest.mark.parametrize("values, share", [([], 0.25), ([1, np.nan], 0.25), ([[1, 2]], 0.25), ([1, 2], 0)])
    def test_errors(self, values, share):
        with pytest.raises(UsageError, match=r"Expected `(values|test_share)`"):
            corrected_resampled_t(values, share)


class TestHolm:
    def test_by_hand(self):
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_undefined_ones_do_not_count(self):
        assert holm([0.02, np.nan, 0.03]) == pytest.approx([0.04, np.nan, 0.04], nan_ok=True)
        assert holm([]) == []

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_laws(self, p):
        corrected = np.array(holm(p))
        assert (corrected >= np.array(p) - 1e-12).all() and (corrected <= 1).all()
        assert (corrected <= len(p) * np.array(p) + 1e-12).all()  # never stricter than Bonferroni
        order = np.argsort(p, kind="stable")
        assert (np.diff(corrected[order]) >= 0).all()


class TestWilson:
    @pytest.mark.parametrize(("successes", "trials"), [(0, 9), (9, 9), (3, 12), (1, 1)])
    def test_it_is_that_of_scipy(self, successes, trials):
        ends = stats.binomtest(successes, trials).proportion_ci(0.9, method="wilson")
        assert wilson(successes / trials, trials, 0.9) == pytest.approx((ends.low, ends.high))

    def test_no_trial_says_nothing(self):
        assert wilson(np.nan, 0) == pytest.approx((0, 1))

    def test_it_is_within_0_and_1(self):
        trials = np.arange(1, 5000)
        for share in (0.0, 1.0):
            low, high = wilson(np.full(len(trials), share), trials)
            assert ((low >= 0) & (low <= share) & (low < high) & (share <= high) & (high <= 1)).all()
