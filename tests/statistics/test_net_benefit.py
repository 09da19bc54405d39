"""Net benefit, by the definition of Vickers and Elkin (2006)."""

import numpy as np
import pytest

from balanced_mixup.statistics.net_benefit import net_benefit


def test_by_the_definition():
    rng = np.random.default_rng(0)
    positive, probability = rng.random(200) < 0.2, rng.integers(0, 21, 200) / 20  # with ties, also at the thresholds
    thresholds = np.arange(0, 1, 0.05)
    for threshold, found in zip(thresholds, net_benefit(positive, probability, thresholds), strict=True):
        acted = probability >= threshold
        true, false = (acted & positive).mean(), (acted & ~positive).mean()
        assert found == pytest.approx(true - false * threshold / (1 - threshold))


def test_of_acting_on_all_it_is_the_prevalence_at_first_and_nothing_there():
    positive = np.repeat([True, False], [20, 80])
    assert net_benefit(positive, np.ones(100), np.array([0, 0.2])) == pytest.approx([0.2, 0])


def test_a_weight_counts_an_image_several_times():
    rng = np.random.default_rng(1)
    positive, probability, weights = rng.random(50) < 0.3, rng.random(50), rng.integers(1, 4, 50)
    thresholds = np.array([0.1, 0.5, 0.9])
    repeated = net_benefit(np.repeat(positive, weights), np.repeat(probability, weights), thresholds)
    assert net_benefit(positive, probability, thresholds, weights.astype(float)) == pytest.approx(repeated)
