"""The prior of images without labels: the estimate by hand and on simulated shifts, and how far its interval can be trusted."""

import numpy as np
import pytest
from scipy.special import softmax

from balanced_mixup.calibration.prior_estimate import estimate_prior, prior_interval
from balanced_mixup.calibration.priors import PriorProblem, adjust_prior, with_temperature
from balanced_mixup.errors import UsageError

NATURAL = np.array([0.7, 0.2, 0.08, 0.02])
SHIFTED = np.array([0.3, 0.3, 0.1, 0.3])
EVEN = np.full(4, 0.25)


def draw(images, prior, seed=0):
    """Return labels and features (N, K) of classes that lie in Gaussian clouds."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(prior), images, p=prior)
    return y, rng.normal(size=(images, len(prior))) + 1.5 * np.eye(len(prior))[y]


def posterior(features, prior):
    """Return the true probabilities (N, K) where classes have the shares `prior`."""
    return softmax(np.log(prior) + 1.5 * features, axis=1)


@pytest.mark.parametrize("images", [500, 20_000])
def test_em_recovers_a_known_shift(images):
    for seed in range(20):
        _, features = draw(images, SHIFTED, seed)
        found = estimate_prior(posterior(features, NATURAL), NATURAL)
        assert found.converged
        assert found.prior.sum() == pytest.approx(1)
        assert found.prior == pytest.approx(SHIFTED, abs=2.5 / np.sqrt(images))


def test_em_is_the_fixed_point_of_saerens_equations():
    _, features = draw(300, SHIFTED)
    p = posterior(features, NATURAL)
    found = estimate_prior(p, NATURAL).prior
    again = (adjust_prior(p, NATURAL, found).sum(0) + NATURAL) / 301
    assert again == pytest.approx(found, abs=1e-6)
    prior = NATURAL
    for _ in range(2000):  # the published iteration, without the one image's worth of the source
        prior = adjust_prior(p, NATURAL, prior).mean(0)
    assert found == pytest.approx(prior, abs=0.005)


def test_no_shift_stays_and_few_images_rule_nothing_out():
    _, features = draw(20_000, NATURAL)
    assert estimate_prior(posterior(features, NATURAL), NATURAL).prior == pytest.approx(NATURAL, abs=0.01)
    few = estimate_prior(np.array([[0.97, 0.01, 0.01, 0.01]]), NATURAL)
    assert (few.prior > 0).all()


def test_em_that_is_given_up_says_so():
    _, features = draw(300, SHIFTED)
    assert not estimate_prior(posterior(features, NATURAL), NATURAL, max_steps=2).converged


def test_em_knows_no_class_that_was_never_trained():
    found = estimate_prior(np.array([[0.5, 0.3, 0.2]] * 9), [0.5, 0.5, 0.0])
    assert found.prior[2] == 0


def estimated(validation, images, seed, *, copies=1, draws=40):
    """Return estimate and interval: of images with the prior SHIFTED, after a fit to validation images."""
    y, features = draw(validation, NATURAL, seed)
    _, there = draw(images, SHIFTED, seed + 1000)
    own, other = (np.repeat(posterior(each, EVEN), copies, axis=0) for each in (features, there))
    groups = [None if copies == 1 else np.repeat(np.arange(n).astype(str), copies) for n in (validation, images)]
    problem = PriorProblem.of(np.repeat(y, copies), own, NATURAL, EVEN)
    scaling = problem.problem.fit()
    p = adjust_prior(with_temperature(other, scaling.temperature), problem.prior(scaling), NATURAL)
    prior = estimate_prior(p, NATURAL).prior
    return prior, *prior_interval(problem, other, prior, *groups, draws=draws, seed=seed)


def test_the_fewer_the_images_of_either_kind_the_wider_the_interval():
    width = {
        sizes: np.mean([np.subtract(*estimated(*sizes, seed)[:0:-1]) for seed in range(3)])
        for sizes in ((100, 1000), (1000, 1000), (1000, 60))
    }
    assert width[100, 1000] > 1.5 * width[1000, 1000]
    assert width[1000, 60] > 1.5 * width[1000, 1000]


def test_copies_within_a_group_do_not_narrow_the_interval():
    once, copied = (
        np.mean([np.subtract(*estimated(150, 150, seed, copies=copies)[:0:-1]) for seed in range(3)]) for copies in (1, 5)
    )
    assert copied > 0.8 * once


def test_a_class_that_no_image_shows_is_not_ruled_out():
    y, features = draw(1000, NATURAL)
    problem = PriorProblem.of(y, posterior(features, EVEN), NATURAL, EVEN)
    there = np.tile([1 - 3e-6, 1e-6, 1e-6, 1e-6], (40, 1))
    prior = estimate_prior(adjust_prior(there, EVEN, NATURAL), NATURAL).prior
    low, high = prior_interval(problem, there, prior, draws=100)
    assert (prior[1:] < 0.01).all()
    assert (high[1:] > 0.03).all()  # 3 of 40 images are possible, as for 0 of 40 by Jeffreys
    assert (low <= prior).all() and (prior <= high).all()


def test_a_class_without_training_images_has_no_share_and_the_draws_are_those_of_the_seed():
    y, features = draw(200, NATURAL)
    natural = np.array([0.7, 0.22, 0.08, 0])
    problem = PriorProblem.of(y, posterior(features, EVEN), natural, [0.4, 0.3, 0.3, 0])
    first, again, other = (
        prior_interval(problem, posterior(features, EVEN), natural, draws=20, seed=seed) for seed in (0, 0, 1)
    )
    assert (first[0][3], first[1][3]) == (0, 0)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: estimate_prior(p[:0], [0.5, 0.5]), "at least one image"),
        (lambda p: estimate_prior(p, [0.5, 0.5], max_steps=0), "Expected `max_steps` >= 1"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(UsageError, match=message):
        call(np.array([[0.7, 0.3]] * 4))
