"""Remix and UniMix by hand: weights that depend on the classes of both images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing import BbnMix, Remix, UniMix
from balanced_mixup.mixing.base import beta_quadrature
from balanced_mixup.randomness import generator

law = settings(max_examples=60, deadline=None)
COUNTS = [90, 30, 29]


@pytest.mark.parametrize(
    ("own", "partner", "weight", "expected"),
    [
        # 90 to 30 images is kappa times as many: the rarer one has the label where it has more than half of the image.
        (0, 1, 0.7, 1.0),
        (0, 1, 0.51, 1.0),
        (0, 1, 0.5, 0.5),  # and not at the threshold
        (0, 1, 0.3, 0.3),
        (1, 0, 0.3, 0.0),
        (1, 0, 0.49, 0.0),
        (1, 0, 0.5, 0.5),
        (1, 0, 0.7, 0.7),
        # 30 to 29 is not.
        (1, 2, 0.7, 0.7),
        (2, 1, 0.3, 0.3),
        (0, 0, 0.6, 0.6),
    ],
)
def test_remix_by_hand(own, partner, weight, expected):
    found = Remix(COUNTS).target_weight(np.array([own]), np.array([partner]), np.array([weight]))
    assert found.tolist() == [expected]


def test_the_threshold_of_remix():
    # Below a third: only then does a frequent class lose its label.
    weights = np.array([0.6, 0.7])
    found = Remix(COUNTS, threshold=1 / 3).target_weight(np.array([0, 0]), np.array([1, 1]), weights)
    assert found.tolist() == [0.6, 1.0]
    assert Remix(COUNTS, threshold=0.0).target_weight(np.array([0]), np.array([1]), np.array([0.99])).tolist() == [0.99]


@law
@given(st.integers(1, 12), st.floats(0.1, 3), st.sampled_from(["batch", "sample"]), st.integers(0, 99))
def test_remix_weighs_images_as_mixup_and_labels_in_favour_of_the_rarer(batch, alpha, per, step):
    mixing, labels = Remix(COUNTS, alpha, weight_per=per), generator(0, "labels", step).integers(0, 3, batch)
    partner, weight, target_weight, _ = mixing.pair(labels, batch, generator(0, "remix", step))
    n, m = (np.array(COUNTS)[labels[rows]] for rows in (np.arange(batch), partner))
    assert (target_weight[n > m] >= weight[n > m]).all()
    assert (target_weight[n < m] <= weight[n < m]).all()
    assert (target_weight[n == m] == weight[n == m]).all()
    assert (target_weight[weight == 0] == 0).all()


def test_unimix_by_hand():
    class Fixed:
        def choice(self, n, size, p):
            # Three images of class 0 with 100 images, one of class 1 with 1: by n^-1 the latter has 100 of 103 parts.
            assert p == pytest.approx(np.array([1, 1, 1, 100]) / 103)
            return np.array([3, 0, 3, 1])

        def beta(self, a, b, size):
            assert (a, b) == (0.8, 0.8)
            return np.array([0.5, 0.25, 0.0, 0.9])

    partner, weight, target_weight, _ = UniMix([100, 1], exponent=-1).pair(np.array([0, 0, 0, 1]), 4, Fixed())
    assert partner.tolist() == [3, 0, 3, 1]
    # The weight of the partner is (draw + n_i / (n_i + n_j)) mod 1.
    assert weight.tolist() == pytest.approx([0.5 + 100 / 101 - 1, 0.75, 100 / 101, 0.9 + 1 / 101])
    assert (weight == target_weight).all()


def test_unimix_gives_the_rarer_image_more_weight():
    labels = np.repeat([0, 1], 2000)
    partner, weight, _, _ = UniMix([100, 1], alpha=0.1).pair(labels, 4000, generator(0, "unimix"))
    own, other = labels, labels[partner]
    to_rarer = np.concatenate([weight[(own == 0) & (other == 1)], 1 - weight[(own == 1) & (other == 0)]])
    # A small alpha draws 0 or 1 nearly always: then it is n_i / (n_i + n_j).
    assert np.median(to_rarer) == pytest.approx(100 / 101, abs=0.02)
    assert to_rarer.mean() > 0.75
    alike = weight[(own == other) & (weight > 0)]
    assert np.median(np.abs(alike - 0.5)) < 0.05


def test_bbn_mix_is_symmetric_between_the_branches():
    weight = BbnMix(0.4, "sample").pair(np.zeros(40_000, np.int64), 20_000, generator(0, "bbn")).weight
    assert weight.mean() == pytest.approx(0.5, abs=0.02)
    assert np.var(weight) == pytest.approx(beta(0.4, 0.4).var(), abs=0.01)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 30.0, 100.0])
def test_means_over_beta(alpha):
    w, probability = beta_quadrature(alpha)
    exact = beta(alpha, alpha)
    assert (w * probability).sum() == pytest.approx(0.5, abs=1e-9)
    assert (w**2 * probability).sum() == pytest.approx(exact.moment(2), rel=1e-4)
    assert probability[w < 0.3].sum() == pytest.approx(exact.cdf(0.3), abs=0.002)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Remix(COUNTS, kappa=1), r"Expected `kappa` > 1 and `threshold` in 0\.\.1, but got 1 and 0\.5"),
        (lambda: Remix(COUNTS, threshold=1.5), r"but got 3\.0 and 1\.5"),
        (lambda: Remix([0, 0]), "Expected `counts` to be one number >= 0 per class, at least one above 0"),
        (lambda: Remix(COUNTS, 0), "Expected `alpha` to be a number above 0, but got 0"),
        (lambda: UniMix(COUNTS, exponent=float("nan")), "Expected `exponent` to be a finite number, but got nan"),
        (lambda: UniMix(COUNTS, -1), "Expected `alpha` to be a number above 0, but got -1"),
        (lambda: BbnMix(0), "Expected `alpha` to be a number above 0, but got 0"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()
