"""Predictive values at another prevalence."""

import math

import pytest

from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.predictive_values import predictive_values


def test_at_the_prevalence_of_the_images_they_are_those_of_the_table():
    true, missed, false, cleared = 30, 10, 20, 140
    sensitivity, specificity = Interval(true / (true + missed)), Interval(cleared / (false + cleared))
    ppv, npv = predictive_values(sensitivity, specificity, 40 / 200)
    assert ppv.value == pytest.approx(true / (true + false)) and npv.value == pytest.approx(cleared / (cleared + missed))


def test_the_interval_covers_that_of_simulated_tables():
    import numpy as np

    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        ends = []
        for share, n in ((0.8, 40), (0.9, 160)):
            hits = rng.binomial(n, share)
            draws = rng.beta(hits + 0.5, n - hits + 0.5, 400)
            ends.append(Interval(hits / n, *np.quantile(draws, [0.025, 0.975])))
        ppv, _ = predictive_values(*ends, 0.05)
        covered += ppv.low <= 0.05 * 0.8 / (0.05 * 0.8 + 0.95 * 0.1) <= ppv.high
    assert covered >= 0.95 * 300


def test_an_estimated_prevalence_widens_the_interval():
    scores = Interval(0.8, 0.6, 0.9), Interval(0.9, 0.85, 0.93)
    ppv, npv = predictive_values(*scores, Interval(0.0, 0.0, 0.99))
    assert (ppv.value, ppv.low, npv.value, npv.high) == (0, 0, 1, 1)
    assert ppv.high > 0.99 and npv.low < 0.03
    narrow = predictive_values(*scores, Interval(0.2, 0.1, 0.3))
    fixed = predictive_values(*scores, 0.2)
    assert all(own.low < other.low < other.high < own.high for own, other in zip(narrow, fixed, strict=True))
    assert predictive_values(*scores, Interval(0.2)) == fixed


def test_nothing_found_and_nothing_called_is_undefined_and_a_warning_is_kept():
    ppv, npv = predictive_values(Interval(0, 0, 0.4, "few"), Interval(1, 0.9, 1), 0.5)
    assert math.isnan(ppv.value) and ppv.warning is None
    assert npv.value == 0.5 and npv.warning == "few"
