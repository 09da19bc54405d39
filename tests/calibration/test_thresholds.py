"""Thresholds for a wanted sensitivity: by hand, by property, and what few cases allow to say."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binomtest

from balanced_mixup.calibration.thresholds import ThresholdResult, choose_threshold, operating_point
from balanced_mixup.errors import UsageError


def binary(of_cases, of_others):
    """Return labels and probabilities where class 1 has the given ones."""
    values = np.array([*of_cases, *of_others], np.float64)
    return np.repeat([1, 0], [len(of_cases), len(of_others)]), np.stack([1 - values, values], 1)


def test_by_hand():
    y, p = binary([0.9, 0.8, 0.6, 0.3, 0.1], [0.7, 0.2, 0.05])
    assert [choose_threshold(y, p, 1, wanted).value for wanted in (0.1, 0.5, 0.61, 0.99)] == [0.9, 0.6, 0.3, 0.1]
    point = operating_point(y, p, 1, 0.6)
    assert (point.sensitivity.value, point.specificity.value) == (0.6, pytest.approx(2 / 3))
    assert (point.cases, point.others) == (5, 3)
    ends = binomtest(3, 5).proportion_ci(method="wilson")
    assert (point.sensitivity.low, point.sensitivity.high) == pytest.approx((ends.low, ends.high))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_it_is_the_score_of_that_rank_and_finds_enough(of_cases, wanted):
    y, p = binary(of_cases, [0.5])
    found = choose_threshold(y, p, 1, wanted).value
    values = p[y == 1, 1]
    assert np.mean(values >= found) >= wanted - 1e-9
    rank = min(int(np.ceil(wanted * (len(values) + 1) - 1e-9)), len(values))
    assert found == pytest.approx(np.sort(values)[-rank], abs=1.001e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), st.floats(0.01, 0.99))
@example([0.2499996, 0.9], 0.9)
@example([4e-7], 0.9)
def test_as_printed_it_finds_enough_in_a_table_of_predictions(of_cases, wanted):
    y, p = binary(of_cases, [])
    found = choose_threshold(y, p, 1, wanted).value
    assert float(f"{found:.6f}") == found
    assert np.mean([float(f"{value:.6f}") >= found for value in of_cases]) >= wanted - 1e-9


def test_it_is_rounded_down():
    chosen = [choose_threshold(*binary([value], []), 1, 0.9).value for value in (0.1234567, 0.1234562, 0.3, 7e-7, 1.0)]
    assert chosen == [0.123456, 0.123456, 0.3, 0.0, 1.0]


def test_it_holds_on_other_images_of_the_same_kind():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(50):
        y, p = binary(rng.beta(4, 2, 400), rng.beta(2, 4, 400))
        y2, p2 = binary(rng.beta(4, 2, 400), rng.beta(2, 4, 400))
        found.append(operating_point(y2, p2, 1, choose_threshold(y, p, 1, 0.9).value).sensitivity.value)
    assert np.mean(found) == pytest.approx(0.9, abs=0.01)


def test_few_cases_are_said_to_be_few():
    y, p = binary(np.linspace(0.2, 0.9, 20), [0.1] * 50)
    enough, few = choose_threshold(y, p, 1, 0.95), choose_threshold(y, p, 1, 0.99)
    assert (enough.supported, enough.needed) == (False, 59)
    assert choose_threshold(*binary(np.linspace(0.2, 0.9, 59), []), 1, 0.95).note == ""
    assert not choose_threshold(*binary(np.linspace(0.2, 0.9, 58), []), 1, 0.95).supported
    assert not few.supported
    assert few.note == "20 validation images of this class cannot support a sensitivity of 0.99; at least 299 are needed"
    assert few.value == pytest.approx(0.2)


@pytest.mark.parametrize("cases", [20, 59, 100])
def test_sensitivity_on_new_images_averages_the_target_and_its_bound_holds(cases):
    rng = np.random.default_rng(1)
    chosen = [choose_threshold(*binary(rng.random(cases), []), 1, 0.95) for _ in range(2000)]
    sensitivity = 1 - np.array([each.value for each in chosen])  # of uniform scores, exactly
    assert 0.947 <= sensitivity.mean() <= 0.975
    assert np.mean(sensitivity >= [each.low for each in chosen]) == pytest.approx(0.95, abs=0.02)


def test_a_threshold_of_an_older_version_has_no_bound():
    y, p = binary([0.9, 0.8], [0.1])
    content = ThresholdResult(choose_threshold(y, p, 1, 0.5), operating_point(y, p, 1, 0.5)).to_dict()
    assert ThresholdResult.from_dict(content).threshold.low == content["low"]
    del content["low"]
    assert ThresholdResult.from_dict(content).threshold.low is None


def test_no_case():
    y, p = binary([], [0.1, 0.2])
    found = choose_threshold(y, p, 1, 0.9)
    assert (found.value, found.cases, found.supported) == (None, 0, False)
    assert "no validation image is of this class" in found.note
    point = operating_point(y, p, 1, 0.15)
    assert np.isnan([point.sensitivity.value, point.sensitivity.low]).all()
    assert point.specificity.value == 0.5
    assert np.isnan(operating_point(np.array([1]), np.array([[0.2, 0.8]]), 1, 0.5).specificity.value)


def test_images_of_a_group_count_once_for_the_interval():
    y, p = binary([0.9, 0.8, 0.2], [0.1, 0.3])
    once = operating_point(y, p, 1, 0.5)
    groups = np.repeat(["a", "b", "c", "d", "e"], 4)
    copied = operating_point(np.repeat(y, 4), np.repeat(p, 4, axis=0), 1, 0.5, groups)
    assert copied.sensitivity == once.sensitivity
    assert copied.specificity == once.specificity
    assert copied.cases == 12


@pytest.mark.parametrize(
    ("of", "wanted", "message"),
    [
        (2, 0.9, "Expected `of` to be a class from 0 to 1, but got 2"),
        (1, 1.0, "Expected a sensitivity above 0 and under 1, such as 0.95, but got 1.0"),
        (1, 0.0, "but got 0.0"),
        (1, np.nan, "but got nan"),
    ],
)
def test_wrong_arguments(of, wanted, message):
    with pytest.raises(UsageError, match=message):
        choose_threshold(*binary([0.9], [0.1]), of, wanted)


def test_wrong_class_of_an_operating_point():
    with pytest.raises(UsageError, match="Expected `of` to be a class from 0 to 1, but got -1"):
        operating_point(*binary([0.9], [0.1]), -1, 0.5)
