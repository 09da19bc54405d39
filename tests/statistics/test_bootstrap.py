"""Bootstrap intervals against a naive loop, against theory, and how they must behave."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from balanced_mixup.areas import ClassAreas
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, per_class, score
from balanced_mixup.randomness import generator
from balanced_mixup.statistics import bootstrap as intervals
from balanced_mixup.statistics.bootstrap import bootstrap, paired_difference
from balanced_mixup.statistics.interval import Interval


def predictions(images: int, classes: int, seed: int = 0, skill: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prior = 0.5 ** np.arange(classes)
    y = rng.choice(classes, images, p=prior / prior.sum())
    logits = rng.normal(size=(images, classes)) + skill * np.eye(classes)[y]
    return y, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def all_scores(y: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    classes = per_class(y, probabilities)
    scores = score(y, probabilities)
    scores |= {f"recall_{k}": float(value) for k, value in enumerate(classes.recall)}
    return scores | {f"precision_{k}": float(value) for k, value in enumerate(classes.precision)}


def resampled_by_a_loop(
    images: int, groups: np.ndarray, replicates: int, seed: int, estimate: Callable[[np.ndarray], dict[str, float]]
) -> dict[str, Interval]:
    """Return the intervals of `estimate(rows)` by drawing rows one replicate at a time."""
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    rng = generator(seed, "bootstrap")
    drawn = [
        estimate(np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])) for _ in range(replicates)
    ]
    ends = {name: np.nanquantile([values[name] for values in drawn], [0.05, 0.95]) for name in drawn[0]}
    return {name: Interval(value, *ends[name]) for name, value in estimate(np.arange(images)).items()}


def assert_equal(found: dict[str, Interval], expected: dict[str, Interval]) -> None:
    assert list(found) == list(expected)
    for name, interval in expected.items():
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(
            (interval.value, interval.low, interval.high), nan_ok=True
        ), name


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize("grouped", [False, True])
def test_equal_to_a_naive_loop(grouped: bool) -> None:
    y, probabilities = predictions(60, 3)
    groups = np.array([f"patient {i % 17}" for i in range(60)])
    found = bootstrap(y, probabilities, groups if grouped else None, replicates=40, level=0.9, seed=3)
    units = groups if grouped else np.arange(60)
    expected = resampled_by_a_loop(60, units, 40, 3, lambda rows: all_scores(y[rows], probabilities[rows]))
    assert_equal(found, expected)


def test_paired_difference_equals_a_naive_loop() -> None:
    y, a = predictions(60, 3)
    b = np.roll(a, 1, axis=0)
    groups = np.array([f"patient {i % 17}" for i in range(60)])

    def difference(rows: np.ndarray) -> dict[str, float]:
        scores_a, scores_b = all_scores(y[rows], a[rows]), all_scores(y[rows], b[rows])
        return {name: scores_a[name] - scores_b[name] for name in scores_a}

    found = paired_difference(y, a, b, groups, replicates=40, level=0.9, seed=3)
    assert_equal(found, resampled_by_a_loop(60, groups, 40, 3, difference))


def test_draws_that_miss_a_class_are_not_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    y, probabilities = predictions(40, 6)  # most draws miss one of the rare classes
    ranked = []
    areas = ClassAreas.of
    monkeypatch.setattr(ClassAreas, "of", lambda self, weights: ranked.append(np.shape(weights)) or areas(self, weights))
    found = bootstrap(y, probabilities, replicates=100)["macro_auc"]
    assert np.isfinite(found.value)
    assert ranked[0] == (40,)
    assert 0 < sum(shape[0] for shape in ranked[1:]) < 50


def test_names() -> None:
    y, probabilities = predictions(40, 3)
    per_class_names = ["recall_0", "recall_1", "recall_2", "precision_0", "precision_1", "precision_2"]
    assert list(bootstrap(y, probabilities, replicates=5)) == [*METRICS, *per_class_names]


def test_the_seed_decides_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    y, probabilities = predictions(50, 3)
    found = bootstrap(y, probabilities, replicates=99, seed=1)
    assert bootstrap(y, probabilities, replicates=99, seed=1) == found
    assert bootstrap(y, probabilities, replicates=99, seed=2) != found
    monkeypatch.setattr(intervals, "CHUNK_ENTRIES", 7 * 50)
    assert bootstrap(y, probabilities, replicates=99, seed=1) == found


def test_groups_of_one_image_change_nothing() -> None:
    y, probabilities = predictions(50, 3)
    groups = np.array([f"{i:02}" for i in range(50)])
    assert bootstrap(y, probabilities, groups, replicates=50) == bootstrap(y, probabilities, replicates=50)


def test_copies_within_a_group_do_not_narrow_the_interval() -> None:
    y, probabilities = predictions(100, 2)
    y4, p4 = np.repeat(y, 4), np.repeat(probabilities, 4, axis=0)
    groups = np.repeat([f"{i:03}" for i in range(100)], 4)
    once, by_group, by_image = bootstrap(y, probabilities), bootstrap(y4, p4, groups), bootstrap(y4, p4)
    for name in METRICS:
        assert width(by_group[name]) == pytest.approx(width(once[name]))
        # Four times as many images that count as independent: half the width.
        assert width(by_image[name]) == pytest.approx(width(by_group[name]) / 2, rel=0.2)


def test_interval_of_the_accuracy_is_near_the_binomial_one() -> None:
    y = np.zeros(400, np.int64)
    probabilities = np.eye(2)[(np.arange(400) < 100).astype(int)]
    found = bootstrap(y, probabilities, level=0.9)["accuracy"]
    assert found.value == 0.75
    assert (found.low, found.high) == pytest.approx(binom.ppf([0.05, 0.95], 400, 0.75) / 400, abs=0.006)


def test_interval_covers_the_true_accuracy_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        right = rng.random(100) < 0.7
        found = bootstrap(np.zeros(100, np.int64), np.eye(2)[(~right).astype(int)], replicates=200, level=0.9, seed=seed)
        covered += found["accuracy"].low <= 0.7 <= found["accuracy"].high
    assert 0.83 <= covered / 200 <= 0.96


def test_a_higher_level_gives_a_wider_interval() -> None:
    y, probabilities = predictions(100, 3)
    narrow, wide = (
        bootstrap(y, probabilities, level=0.5, replicates=200),
        bootstrap(y, probabilities, level=0.99, replicates=200),
    )
    assert all(wide[name].low < narrow[name].low < narrow[name].high < wide[name].high for name in METRICS)


def test_difference_to_itself_is_zero_and_changes_sign_when_exchanged() -> None:
    y, a = predictions(80, 3)
    b = predictions(80, 3, seed=0, skill=0.5)[1]
    assert all(interval == Interval(0, 0, 0) for interval in paired_difference(y, a, a, replicates=50).values())
    forth, back = paired_difference(y, a, b, replicates=50), paired_difference(y, b, a, replicates=50)
    for name, interval in forth.items():
        assert (-back[name].high, -back[name].low) == pytest.approx((interval.low, interval.high))


def test_pairing_narrows_the_interval_of_similar_models() -> None:
    y, a = predictions(300, 3)
    b = 0.9 * a + 0.1 / 3
    b[:10] = np.roll(b[:10], 1, axis=1)
    difference, alone = paired_difference(y, a, b, replicates=300)["accuracy"], bootstrap(y, a, replicates=300)["accuracy"]
    assert width(difference) < width(alone) / 2


def test_replicates_without_a_class_are_left_out() -> None:
    # The one image of class 1 is missing in (1 - 1/20)^20 = 36 % of the draws and right in all others.
    y = np.array([0] * 19 + [1])
    found = bootstrap(y, np.eye(2)[y], replicates=200)
    assert found["recall_1"] == Interval(1, 1, 1)


def test_undefined_scores_have_no_interval() -> None:
    found = bootstrap(np.array([0] * 10), np.eye(3)[[0] * 10], replicates=50)
    assert found["accuracy"] == Interval(1, 1, 1)
    for name in ("recall_1", "precision_2", "macro_auc", "kendall_tau", "quadratic_kappa"):
        assert np.isnan([found[name].value, found[name].low, found[name].high]).all(), name


@pytest.mark.parametrize("undefined", [5, 6])
def test_the_interval_goes_when_more_than_half_are_undefined(undefined: int) -> None:
    values = np.r_[np.full(undefined, np.nan), np.full(10 - undefined, 0.5)]
    assert np.isnan(intervals._percentiles(values, 0.95)).all() == (undefined > 5)


def test_one_group_has_a_value_but_no_interval() -> None:
    y, probabilities = predictions(20, 2)
    found = bootstrap(y, probabilities, np.array(["only"] * 20), replicates=20)["accuracy"]
    assert found.value == score(y, probabilities)["accuracy"]
    assert np.isnan([found.low, found.high]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(2, 5), st.integers(0, 1000))
def test_value_is_the_score_and_the_interval_is_ordered(images: int, classes: int, seed: int) -> None:
    y, probabilities = predictions(images, classes, seed)
    found = bootstrap(y, probabilities, replicates=30, seed=seed)
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(
        all_scores(y, probabilities), nan_ok=True
    )
    assert all(interval.low <= interval.high or np.isnan(interval.low) for interval in found.values())


def test_tensors() -> None:
    y, probabilities = predictions(30, 3)
    expected = bootstrap(y, probabilities, replicates=20)
    assert bootstrap(torch.from_numpy(y), torch.from_numpy(probabilities), replicates=20) == expected


Y, P = predictions(10, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"replicates": 0}, r"Expected `replicates` to be at least 1, but got 0\."),
        ({"level": 95}, r"Expected `level` to be between 0 and 1, such as 0\.95, but got 95\."),
        ({"level": 0.0}, r"Expected `level` to be between 0 and 1, such as 0\.95, but got 0\.0\."),
        ({"groups": np.array(["a"] * 9)}, r"Expected `groups` to be of shape \(10,\), but got \(9,\)\."),
        ({"y": Y + 3}, r"Expected `y` to be from 0 to 2, "),
    ],
)
def test_wrong_arguments_say_what_was_expected(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bootstrap(**{"y": Y, "probabilities": P, **changed})
    with pytest.raises(UsageError, match=message):
        paired_difference(**{"y": Y, "probabilities_a": P, "probabilities_b": P, **changed})


def test_models_with_other_classes_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match=r"Expected `probabilities_b` to be of the shape .*, \(10, 3\), but got \(10, 2\)\."):
        paired_difference(Y, P, np.full((10, 2), 0.5))
