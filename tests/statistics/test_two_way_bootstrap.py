"""Several trainings of two methods on one test part: by hand, against the bootstrap of the images, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.statistics.bootstrap import Replicates, paired_difference, replicate
from balanced_mixup.statistics.two_way_bootstrap import difference_over_trainings, mean_over_trainings


def trainings(scores, draws):
    return [Replicates({"mcc": score}, {"mcc": np.asarray(row, float)}) for score, row in zip(scores, draws, strict=True)]


@pytest.fixture
def two():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 300)
    predicted = [np.where(rng.random(300) < right, y, rng.integers(0, 3, 300)) for right in (0.8, 0.8, 0.6, 0.6)]
    return y, [np.eye(3)[each] * 0.8 + 0.2 / 3 for each in predicted]


def test_where_the_images_do_not_matter_it_is_welchs_test():
    a, b = [0.60, 0.64, 0.65], [0.70, 0.71, 0.75]
    same = [np.full((3, 50), 0.0)] * 2
    found = difference_over_trainings(trainings(a, same[0]), trainings(b, same[1]), "mcc", 1000)
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_the_variances_by_hand():
    # Two trainings with scores 0.5 and 0.7: s^2 = 0.02. Draws: each image effect +-0.1 is common, +-0.02 is of one training.
    draws = 0.6 + np.array([[0.12, 0.08, -0.08, -0.12], [0.08, 0.12, -0.12, -0.08]])
    found = mean_over_trainings(trainings([0.5, 0.7], draws), "mcc", 5)
    # Their mean varies by 0.1^2, in which the interaction i / 2 is 0; 5 / 4 for the five images that were drawn.
    (of_trainings, freedom), (of_images, images) = found.error.parts
    assert (found.mean, of_trainings, freedom) == pytest.approx((0.6, 0.01, 1))
    interaction = 2 * 0.02**2 * 5 / 4
    assert (of_images, images) == pytest.approx((0.01 * 5 / 4 - interaction / 2, 4))
    half = np.sqrt(stats.t.ppf(0.975, 1) ** 2 * of_trainings + stats.t.ppf(0.975, 4) ** 2 * of_images)
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half))
    assert stats.t.ppf(1 - found.p / 2, 1) ** 2 * of_trainings + stats.t.ppf(1 - found.p / 2, 4) ** 2 * of_images == (
        pytest.approx(0.36)
    )


def test_trainings_that_agree_by_chance_are_not_believed():
    draws = 0.6 + np.array([[0.1, 0.0, 0.0, -0.1], [0.0, 0.1, -0.1, 0.0]])
    found = mean_over_trainings(trainings([0.6, 0.6], draws), "mcc", 10**6)
    assert sum(variance for variance, _ in found.error.parts) == pytest.approx(draws.mean(0).var(), rel=1e-5)
    assert found.error.parts[0][0] > 0


def test_one_training_each_is_of_two_trained_models(two):
    y, models = two
    groups = np.array([f"g{n // 3}" for n in range(300)])
    reference = paired_difference(y, models[0], models[2], groups)
    a, _, b, _ = replicate(y, models, groups)
    for name in METRICS:
        found = difference_over_trainings([a], [b], name, 100)
        assert (found.mean, found.low, found.high) == pytest.approx(
            (reference[name].value, reference[name].low, reference[name].high)
        )
        assert found.low > 0 and np.isnan(found.p) and found.error is None
    assert np.isnan(difference_over_trainings([a], [b, a], "mcc", 100).p)
    alone = mean_over_trainings([a], "mcc", 100)
    assert (alone.low, alone.high) == pytest.approx((a.interval("mcc").low, a.interval("mcc").high))


def test_several_models_have_the_draws_of_each(two):
    y, models = two
    for found, model in zip(replicate(y, models, metrics=("mcc",)), models, strict=True):
        (alone,) = replicate(y, [model])
        assert set(alone.values) - set(found.values) == set(METRICS) - {"mcc"}
        assert all((found.draws[name] == alone.draws[name]).all() for name in found.values)


def test_collapsed_models_have_no_error():
    found = difference_over_trainings(
        trainings([0.0, 0.0], np.zeros((2, 9))), trainings([0.0, 0.0], np.zeros((2, 9))), "mcc", 50
    )
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert found.error.parts == ()


def test_undefined_scores_and_draws():
    draws = np.array([[0.1, np.nan, 0.2, 0.3]] * 2)
    assert mean_over_trainings(trainings([0.5, 0.6], draws), "mcc", 9).low > -10
    for scores, drawn in (([0.5, np.nan], draws), ([0.5, 0.6], np.full((2, 4), np.nan))):
        found = mean_over_trainings(trainings(scores, drawn), "mcc", 9)
        assert np.isnan([found.low, found.high, found.p]).all() and found.error is None
    with pytest.raises(UsageError, match="Expected at least one training of each method"):
        difference_over_trainings([], [], "mcc", 9)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize(("other", "shared"), [(1.0, 0.0), (0.2, 0.0), (1.0, 0.5)])
def test_equal_methods_are_called_different_in_at_most_6_per_cent(count, other, shared):
    """Trainings of two methods, the second steadier or not, with seeds in common or not; images that matter as much."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(500):
        seeds = np.sqrt(shared) * rng.normal(size=count)
        a, b = (scale * (seeds + np.sqrt(1 - shared) * rng.normal(size=count)) for scale in (1, other))
        images = 0.5 * rng.normal(size=(2, 41)) / np.sqrt(count)
        sides = [trainings(own + image[0], np.tile(image[1:], (count, 1))) for own, image in zip((a, b), images, strict=True)]
        found.append(difference_over_trainings(*sides, "mcc", 10**4).p < 0.05)
    assert np.mean(found) <= 0.06
