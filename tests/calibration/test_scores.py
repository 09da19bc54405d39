"""Calibration scores by hand, against scikit-learn and torchmetrics, and how they must behave."""

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import multiclass_calibration_error

from balanced_mixup.calibration.scores import (
    CalibrationScores,
    brier,
    calibration_scores,
    classwise_ece,
    ece,
    ece_by_chance,
    log_loss,
    reliability,
)
from balanced_mixup.errors import UsageError
from balanced_mixup.statistics.bootstrap import bootstrap


def calibrated(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels that are drawn from the probabilities themselves."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(images, classes)) - np.arange(classes)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return (p.cumsum(1) > rng.random((images, 1))).argmax(1), p


def test_by_hand():
    # 20 images: ten with 0.9 of which six are right, ten with 0.6 of which six are right; two bins.
    p = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    y = np.array(([0] * 6 + [1] * 4) * 2)
    assert ece(y, p, bins=2) == pytest.approx((0.3 + 0.0) / 2)
    assert classwise_ece(y, p, bins=2) == pytest.approx([0.15, 0.15])
    first, second = 0.6 * 2 * 0.1**2 + 0.4 * 2 * 0.9**2, 0.6 * 2 * 0.4**2 + 0.4 * 2 * 0.6**2
    assert brier(y, p) == pytest.approx((first + second) / 2)
    assert log_loss(y, p) == pytest.approx(-(6 * np.log(0.9) + 4 * np.log(0.1) + 6 * np.log(0.6) + 4 * np.log(0.4)) / 20)
    assert ece_by_chance(y, p, bins=2) == pytest.approx((np.sqrt(2 * 10 * 0.09 / np.pi) + np.sqrt(2 * 10 * 0.24 / np.pi)) / 20)
    table = reliability(y, p, bins=2)
    assert list(table.columns) == ["confidence", "accuracy", "low", "high", "count"]
    assert table[["confidence", "accuracy", "count"]].to_numpy() == pytest.approx(np.array([[0.6, 0.6, 10], [0.9, 0.6, 10]]))
    ends = binomtest(6, 10).proportion_ci(method="wilson")
    assert table[["low", "high"]].to_numpy() == pytest.approx(np.array([[ends.low, ends.high]] * 2))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_points_are_those_of_scikit_learn(classes, bins):
    # 398 images, so that no edge lies on an image: there rounding errors would decide in scikit-learn.
    y, p = calibrated(398, classes)
    p[200:] = p[:198]  # ties
    values = {None: (p.argmax(1) == y, p.max(1))} | {k: (y == k, p[:, k]) for k in range(classes)}
    for of, (right, value) in values.items():
        share, mean = calibration_curve(right, value, n_bins=bins, strategy="quantile")
        table = reliability(y, p, of, bins=bins)
        assert table["accuracy"].to_numpy() == pytest.approx(share)
        assert table["confidence"].to_numpy() == pytest.approx(mean)
        assert table["count"].sum() == 398
        error = (table["count"] * (table["accuracy"] - table["confidence"]).abs()).sum() / 398
        assert error == pytest.approx(ece(y, p, bins) if of is None else classwise_ece(y, p, bins)[of])


def test_equal_to_torchmetrics_where_equal_widths_are_equal_masses():
    # Confidences on a regular grid of (0.5, 1): ten bins of equal width over (0, 1) have the five upper ones filled alike.
    rng = np.random.default_rng(0)
    confidence = rng.permutation(0.5 + (np.arange(400) + 0.5) / 800)
    p = np.stack([confidence, 1 - confidence], 1)
    y = (rng.random(400) > confidence**2).astype(np.int64)
    expected = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), 2, n_bins=10, norm="l1")
    assert ece(y, p, bins=5) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_brier_and_log_loss_are_those_of_scikit_learn(classes):
    y, p = calibrated(300, classes)
    p[0] = np.eye(classes)[(y[0] + 1) % classes]  # sure and wrong
    assert log_loss(y, p) == pytest.approx(sklearn.metrics.log_loss(y, p, labels=range(classes)))
    one_by_one = [sklearn.metrics.brier_score_loss(y == k, p[:, k]) for k in range(classes)]
    assert brier(y, p) == pytest.approx(sum(one_by_one))


def test_perfectly_calibrated_probabilities_show_what_chance_makes():
    found, expected = zip(
        *((ece(y, p), ece_by_chance(y, p)) for y, p in (calibrated(300, 4, seed) for seed in range(60))), strict=True
    )
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.1)


def test_names_values_and_intervals():
    y, p = calibrated(200, 3)
    found = calibration_scores(y, p, rare=[1, 2], replicates=50)
    assert list(found) == ["ece", "classwise_ece", "rare_ece", "brier", "log_loss", "ece_0", "ece_1", "ece_2"]
    each = classwise_ece(y, p)
    assert found["classwise_ece"].value == pytest.approx(each.mean())
    assert found["rare_ece"].value == pytest.approx(each[1:].mean())
    assert [found[f"ece_{k}"].value for k in range(3)] == pytest.approx(each)
    assert (found["ece"].value, found["brier"].value) == pytest.approx((ece(y, p), brier(y, p)))
    assert {name for name, score in found.items() if score.low <= score.value <= score.high} == {"brier", "log_loss"}
    assert all(np.isnan(score.low) for name, score in found.items() if "ece" in name)
    assert "rare_ece" not in calibration_scores(y, p, replicates=2)


def test_the_draws_are_those_of_the_other_scores():
    # The Brier score of sure answers is twice the share that is wrong, so its interval is that of the accuracy.
    y, p = calibrated(120, 3)
    sure = np.eye(3)[p.argmax(1)]
    groups = np.array([f"patient {i % 31}" for i in range(120)])
    wrong = calibration_scores(y, sure, groups, replicates=99, seed=4)["brier"]
    right = bootstrap(y, sure, groups, replicates=99, seed=4)["accuracy"]
    assert (wrong.value, wrong.low, wrong.high) == pytest.approx(
        (2 * (1 - right.value), 2 * (1 - right.high), 2 * (1 - right.low))
    )


def test_copies_within_a_group_do_not_narrow_an_interval():
    y, p = calibrated(150, 3)
    groups = np.repeat([f"{i:03}" for i in range(150)], 3)
    once = calibration_scores(y, p, replicates=200)["brier"]
    copied = calibration_scores(np.repeat(y, 3), np.repeat(p, 3, axis=0), groups, replicates=200)["brier"]
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    table, tripled = reliability(y, p), reliability(np.repeat(y, 3), np.repeat(p, 3, axis=0), groups=groups)
    assert tripled["count"].to_list() == (3 * table["count"]).to_list()
    assert tripled["low"].to_numpy() == pytest.approx(table["low"].to_numpy())


@given(st.integers(1, 40), st.integers(2, 4), st.integers(0, 5))
def test_bounded_and_blind_to_the_order_of_images(images, classes, seed):
    y, p = calibrated(images, classes, seed)
    order = np.random.default_rng(seed).permutation(images)
    for score in (ece, brier, log_loss):
        assert 0 <= score(y, p) < 40
        assert score(y[order], p[order]) == pytest.approx(score(y, p))
    assert 0 <= ece(y, p) <= 1
    assert 0 <= brier(y, p) <= 2


def test_arrays_and_tensors():
    y, p = calibrated(80, 3)
    assert ece(torch.from_numpy(y), torch.from_numpy(p)) == ece(y, p)


def test_one_image_and_one_group_have_no_interval():
    found = calibration_scores(np.array([0]), np.array([[0.7, 0.3]]))
    assert found["ece"].value == pytest.approx(0.3)
    assert np.isnan([found["ece"].low, found["brier"].high]).all()
    y, p = calibrated(30, 3)
    assert np.isnan(calibration_scores(y, p, np.full(30, "one"))["brier"].low)


def test_500_classes_and_a_class_without_images():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(500, 0.1), 300)
    found = calibration_scores(rng.integers(0, 250, 300), p, replicates=5)
    assert len(found) == 504
    assert found["ece_400"].value == pytest.approx(p[:, 400].mean())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y, p: ece(y, p, bins=0), "Expected `bins` to be at least 1, but got 0"),
        (lambda y, p: calibration_scores(y, p, replicates=0), "Expected `replicates` to be at least 1, but got 0"),
        (lambda y, p: calibration_scores(y, p, level=1), "Expected `level` to be between 0 and 1"),
        (lambda y, p: calibration_scores(y, p, rare=[3]), r"Expected `rare` to be classes from 0 to 2, but got \[3\]"),
        (lambda y, p: calibration_scores(y, p, np.array(["a"])), r"Expected `groups` to be of shape \(20,\)"),
        (lambda y, p: reliability(y, p, 3), "Expected `of` to be a class from 0 to 2, but got 3"),
        (lambda y, p: ece(y, p * np.nan), "Expected `probabilities` to be finite and not negative, but got nan"),
        (lambda y, p: ece(y, p[:5]), r"Expected `probabilities` to be floats of shape \(20, K\)"),
        (lambda y, p: ece(y[:0], p[:0]), "Expected `y` to be the labels of at least one image"),
    ],
)
def test_wrong_arguments(call, message):
    y, p = calibrated(20, 3)
    with pytest.raises(UsageError, match=message):
        call(y, p)


def test_as_json_with_p_values_and_as_older_versions_wrote_it():
    y, p = calibrated(100, 3)
    found = CalibrationScores.of(y, p, None, ("ece", "b", "c"), [2])
    content = found.to_dict()
    assert set(content["ece"]) == {"value", "low", "high", "p_value"} > set(content["brier"])
    assert content["ece"]["low"] is None and 0 < content["rare_ece"]["p_value"] <= 1
    assert CalibrationScores.from_dict(content).to_dict() == content
    older = {**content, **{name: {"value": 0.1, "low": 0.05, "high": 0.2} for name in ("ece", "classwise_ece", "rare_ece")}}
    again = CalibrationScores.from_dict(older)
    assert again.to_dict() == older
    assert (again.p_values, again.p_text("ece"), again.metrics["ece"].low) == ({}, "", 0.05)
    assert found.p_text("ece") == f", p = {found.p_values['ece']:.3f}"
    assert found.p_text("brier") == ""
