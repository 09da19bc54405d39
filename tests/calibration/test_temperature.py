"""When a temperature is kept: simulated, with too few images, and with groups."""

import numpy as np
import pytest
from scipy.special import softmax

from balanced_mixup.calibration.priors import fit_temperature, temperature_problem, with_temperature
from balanced_mixup.calibration.scores import log_loss
from balanced_mixup.calibration.temperature import cross_fitted_gain, no_gain, too_few

CLASSES = ("a", "b", "c")


def calibrated(images, seed=0):
    """Return labels that are drawn from the probabilities themselves."""
    rng = np.random.default_rng(seed)
    p = softmax(1.5 * rng.normal(size=(images, 3)), axis=1)
    return (p.cumsum(1) > rng.random((images, 1))).argmax(1), p


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ((20, 10, 9), "there are 39 validation images, fewer than 50"),
        ((1, 0, 0), "there is 1 validation image, fewer than 50"),
        ((40, 10, 9), "there are fewer than 10 validation images of a class: 9 of c"),
        ((45, 0, 9), "there are fewer than 10 validation images of a class: 0 of b and 9 of c"),
        ((30, 10, 10), ""),
    ],
)
def test_too_few_images(counts, reason):
    assert too_few(np.repeat([0, 1, 2], counts), CLASSES, np.full(3, True)) == reason


def test_classes_that_are_numbers_are_named_as_such():
    reason = too_few(np.repeat([0, 1, 2], [45, 4, 3]), ("0", "3", "4"), np.full(3, True))
    assert reason.endswith(": 3 of class 4 and 4 of class 3")


def test_a_class_that_was_never_trained_needs_no_validation_images():
    y = np.repeat([0, 1], 30)
    assert too_few(y, CLASSES, np.array([True, True, False])) == ""
    assert "0 of c" in too_few(y, CLASSES, np.full(3, True))


@pytest.mark.parametrize("true", [0.5, 2.0])
def test_one_that_helps_is_kept(true):
    y, p = calibrated(400)
    assert no_gain(temperature_problem(y, with_temperature(p, 1 / true)), None) == ""


def test_one_that_chance_made_is_not_kept():
    # Without the rule all of these are applied, and make the loss on other images larger.
    kept, worse = 0, 0
    for seed in range(40):
        y, p = calibrated(60, seed)
        kept += no_gain(temperature_problem(y, p), None) == ""
        new, q = calibrated(500, 1000 + seed)
        worse += log_loss(new, with_temperature(q, fit_temperature(y, p))) > log_loss(new, q)
    assert kept <= 3
    assert worse >= 30


def test_the_reason_gives_the_gain():
    y, p = calibrated(300)
    reason = no_gain(temperature_problem(y, p), None)
    gain = cross_fitted_gain(temperature_problem(y, p), None)
    assert gain.low <= gain.value <= gain.high
    assert f"by {gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}]" in reason


def test_copies_within_a_group_are_no_more_evidence():
    y, p = calibrated(300, 3)
    once = cross_fitted_gain(temperature_problem(y, p), None)
    copies = temperature_problem(np.repeat(y, 5), np.repeat(p, 5, axis=0))
    groups = np.repeat([f"{i:03}" for i in range(300)], 5)
    by_group, alone = (cross_fitted_gain(copies, given) for given in (groups, None))
    assert by_group.high - by_group.low == pytest.approx(once.high - once.low, rel=0.1)
    assert alone.high - alone.low < 0.6 * (by_group.high - by_group.low)


def test_images_of_one_group_say_nothing():
    y, p = calibrated(60)
    assert no_gain(temperature_problem(y, p), np.full(60, "one")) == "all validation images are of one group"


def test_beside_a_bias_it_is_judged_beside_it():
    # The probabilities are wrong by a prior alone: a temperature alone would help, beside the prior it does not.
    y, p = calibrated(500, 1)
    shifted = p * [1, 6, 1] / (p * [1, 6, 1]).sum(1, keepdims=True)
    problem = temperature_problem(y, shifted)
    assert no_gain(problem, None) == ""
    assert "does not lower the log loss" in no_gain(problem, None, bias=True)
