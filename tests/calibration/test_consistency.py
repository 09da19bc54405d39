"""The consistency test: small p-values are as rare as they should be, and appear where probabilities are wrong."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from balanced_mixup.calibration.consistency import consistency_p_values
from balanced_mixup.calibration.priors import with_temperature
from balanced_mixup.errors import UsageError


def grouped(groups, images, correlation, seed):
    """Return labels, calibrated probabilities and groups; images of a group share their draw with this probability, squared."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(groups), images)
    p = softmax(rng.normal(size=(len(unit), 3)) + 2 * rng.normal(size=(groups, 3))[unit], axis=1)
    u = np.where(rng.random(len(unit)) < np.sqrt(correlation), rng.random(groups)[unit], rng.random(len(unit)))
    order = np.argsort(-p, axis=1)
    place = (np.take_along_axis(p, order, 1).cumsum(1)[:, :-1] < u[:, None]).sum(1)
    return order[np.arange(len(unit)), place], p, unit.astype(str)


def rejected(images, repeats, *, groups=None, correlation=0.0, temperature=1.0, by_group=False, name="ece"):
    """Return how often p is at most 0.05."""
    found = 0
    for seed in range(repeats):
        y, p, unit = grouped(groups or images, images // (groups or images), correlation, seed)
        given = unit if by_group else None
        found += consistency_p_values(y, with_temperature(p, temperature), given, replicates=59, seed=seed)[name] <= 0.05
    return found / repeats


@pytest.mark.parametrize("name", ["ece", "classwise_ece"])
def test_calibrated_probabilities_are_rarely_called_wrong(name):
    assert binom.cdf(4, 60, 0.05) < 0.9 < binom.cdf(8, 60, 0.05)
    assert rejected(40, 60, name=name) <= 8 / 60  # four bins of ten images
    assert rejected(300, 60, temperature=0.5, name=name) > 0.8


def test_images_of_a_group_are_alike_and_so_are_their_errors():
    alike = {"groups": 15, "correlation": 0.5}
    assert rejected(300, 40, **alike) > 0.25
    assert rejected(300, 40, **alike, by_group=True) <= 0.15
    assert rejected(300, 40, groups=60, by_group=True, temperature=0.4) > 0.8


def test_by_hand():
    # One bin. None of three is right, each with probability 1/2: the error is 1.5 / 3, as for all right, together 2 of 8 cases.
    p = np.full((3, 2), 0.5)
    assert consistency_p_values(np.array([1, 1, 1]), p, replicates=4000)["ece"] == pytest.approx(0.25, abs=0.03)
    assert consistency_p_values(np.array([0, 1, 1]), p, replicates=200)["ece"] == 1


def test_the_p_value_is_never_0_and_sure_answers_that_are_wrong_are_not_chance():
    p = np.eye(3)[[0] * 10]
    assert consistency_p_values(np.full(10, 1), p, rare=[1], replicates=99) == {
        "ece": 0.01, "classwise_ece": 0.01, "rare_ece": 0.01,
    }  # fmt: skip
    assert set(consistency_p_values(np.zeros(10, int), p, np.full(10, "one"), replicates=9).values()) == {1.0}


def test_draws_are_from_the_probabilities():
    from balanced_mixup.calibration.consistency import _Errors

    p = np.array([[0.2, 0.5, 0.0, 0.3]] * 40_000)
    units = np.repeat(np.arange(20_000), 2)
    for together in (0.0, 0.8):
        labels = _Errors(p, 1, []).draw(units, together, np.random.default_rng(0))
        assert np.bincount(labels, minlength=4) / 40_000 == pytest.approx(p[0], abs=0.015)
        right = labels.reshape(-1, 2) == 1
        assert np.corrcoef(right.T)[0, 1] == pytest.approx(together**2, abs=0.03)
    assert _Errors(p, 1, []).correlation(labels, units) == pytest.approx(0.64, abs=0.03)


def test_wrong_arguments():
    with pytest.raises(UsageError, match="Expected `replicates` to be at least 1, but got 0"):
        consistency_p_values(np.zeros(4, int), np.full((4, 2), 0.5), replicates=0)
