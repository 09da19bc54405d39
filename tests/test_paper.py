"""The paper by hand: Eq. 1, 2 and 3 with numbers, the convention of the weight, and the rows of its tables."""

import numpy as np
import pytest
import torch

from balanced_mixup.data.batches import TrainBatches
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.losses import ClassBalanced, CrossEntropy, Focal
from balanced_mixup.methods import Stage, TrainSet, make_method
from balanced_mixup.mixing import BalancedMixUp, MixUp, NoMix, mix, one_hot
from balanced_mixup.randomness import generator
from balanced_mixup.sampling import InstanceBranch, class_branch, class_probabilities, instance_branch

# EyePACS, grades 0 to 4.
EYEPACS = np.array([25810, 2443, 5292, 873, 708])


def test_eq_1():
    # Images 10, 20, 30 of classes 0, 1, 2; partners 30, 20, 10; the first keeps 3/4.
    images = torch.tensor([10.0, 20.0, 30.0]).reshape(3, 1, 1, 1)
    targets = one_hot(torch.tensor([0, 1, 2]), 3)
    partner, weight = torch.tensor([2, 1, 0]), torch.full((3,), 0.25)
    assert mix(images, images[partner], weight).flatten().tolist() == [15.0, 20.0, 25.0]
    assert mix(targets, targets[partner], weight).tolist() == [[0.75, 0, 0.25], [0, 1, 0], [0.25, 0, 0.75]]


def test_eq_2():
    assert class_probabilities([100, 25, 4], 1) == pytest.approx([100 / 129, 25 / 129, 4 / 129])
    assert class_probabilities([100, 25, 4], 0.5) == pytest.approx([10 / 17, 5 / 17, 2 / 17])
    assert class_probabilities([100, 25, 4], 0) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    # The class shares of EyePACS that the paper's Fig. 1 shows.
    assert class_probabilities(EYEPACS, 1) == pytest.approx([0.735, 0.070, 0.151, 0.025, 0.020], abs=0.001)


def test_eq_3():
    # One image of the instance branch, one of the class branch, the latter with weight 0.2.
    instance, balanced = torch.tensor([[100.0, 50.0]]), torch.tensor([[0.0, 200.0]])
    weight = torch.tensor([0.2])
    assert mix(instance, balanced, weight)[0].tolist() == pytest.approx([80.0, 80.0])
    assert mix(one_hot(torch.tensor([0]), 5), one_hot(torch.tensor([4]), 5), weight)[0].tolist() == pytest.approx(
        [0.8, 0, 0, 0, 0.2]
    )


@pytest.mark.parametrize(("alpha", "mean"), [(0.1, 0.09), (0.2, 0.17), (0.3, 0.23)])
def test_the_weight_of_eq_3_is_that_of_the_class_balanced_image(alpha, mean):
    # "examples from (D, S_I) receive more weight"; "as alpha grows, examples from minority classes are mixed up with greater
    # weights": so Beta(alpha, 1), with mean alpha / (1 + alpha), is the weight of the class-balanced one.
    labels = np.zeros(200_000, np.int64)
    weight = BalancedMixUp(alpha, "sample").pair(labels, 100_000, generator(0, "paper")).weight
    assert weight.mean() == pytest.approx(alpha / (1 + alpha), abs=0.003)
    assert weight.mean() == pytest.approx(mean, abs=0.006)


def test_the_weight_reaches_the_class_balanced_target_end_to_end():
    # One frequent class, one rare: all the mass of the rare class beyond its frequency comes from the class branch.
    labels = np.repeat([0, 1], [1990, 10])
    shares = [epoch_prior(labels, alpha, "batch", 50)[1] for alpha in (0.1, 0.2, 0.3)]
    assert shares == pytest.approx([0.005 + 0.495 * alpha / (1 + alpha) for alpha in (0.1, 0.2, 0.3)], abs=0.03)
    assert shares == sorted(shares)


def epoch_prior(labels, alpha, per, batch_size):
    """Return the mean target (K,) of the training steps of an epoch."""
    n, classes = len(labels), labels.max() + 1
    mixing = BalancedMixUp(alpha, per)
    batches = TrainBatches(
        ArrayPixels(np.zeros((n, 1, 1, 3), np.uint8)),
        labels,
        np.arange(n),
        Stage(instance_branch(labels), class_branch(labels), mixing),
        batch_size=batch_size,
        seed=0,
        epoch=0,
    )
    means = [batch.mixed(torch.zeros(len(batch.pixels), 1), classes, mixing)[1].mean(0).numpy() for batch in batches]
    return np.mean(means, axis=0)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3])
def test_effective_class_prior(alpha):
    # A tenth of EyePACS. Each class gets (1 - E[w]) of its frequency and E[w] / K.
    labels = generator(0, "labels").permutation(np.repeat(np.arange(5), EYEPACS // 10))
    weight = alpha / (1 + alpha)
    expected = (1 - weight) * np.bincount(labels) / len(labels) + weight / 5
    prior = epoch_prior(labels, alpha, "sample", 250)
    assert prior.sum() == pytest.approx(1, abs=1e-5)
    assert prior == pytest.approx(expected, abs=0.012)
    # It is told from plain and from class sampling: the rarest class has 2 % of the images, and 20 % under class sampling.
    assert prior[4] == pytest.approx(expected[4], abs=0.006)
    assert 0.02 + 0.5 * weight * 0.18 < prior[4] < 0.2


# ---- The rows of Tables 1 and 3 ----

ROWS = {
    "class": ("Class-sampling", 0, NoMix, CrossEntropy),
    "instance": ("Instance-sampling", 1, NoMix, CrossEntropy),
    "sqrt": ("Sqrt-sampling", 0.5, NoMix, CrossEntropy),
    "focal": ("Focal Loss", 1, NoMix, Focal),
    "cb-loss": ("CB Loss", 1, NoMix, ClassBalanced),
    "balanced-mixup": ("Bal-Mxp", 1, BalancedMixUp, CrossEntropy),
    "mixup": ("MixUp", 1, MixUp, CrossEntropy),
}


def stage_of(name, labels, **settings):
    """Return the one stage of a method."""
    (stage,) = make_method(name, settings).stages(TrainSet(labels, int(labels.max()) + 1, 30, 0))
    return stage


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_tables(name):
    title, q, mixing, loss = ROWS[name]
    assert make_method(name, {}).title == title
    counts = np.array([1600, 400, 100])
    labels = np.repeat([0, 1, 2], counts)
    stage = stage_of(name, labels)
    assert type(stage.mix) is mixing
    assert type(stage.loss) is loss
    # All with q = 1 but the two that resample: a shuffle without replacement.
    assert isinstance(stage.branch, InstanceBranch) == (q == 1)
    rows = stage.branch.rows(0, np.arange(21_000))
    assert np.bincount(labels[rows]) / len(rows) == pytest.approx(class_probabilities(counts, q), abs=0.012)
    if q == 1:
        assert (np.bincount(rows) == 10).all()


def test_settings_reach_the_method():
    labels = np.array([0, 0, 1])
    for name, kind in (("balanced-mixup", BalancedMixUp), ("mixup", MixUp)):
        assert stage_of(name, labels, alpha=0.3, weight_per="batch").mix == kind(0.3, "batch")
    assert stage_of("focal", labels, gamma=1.5).loss.gamma == 1.5
    assert stage_of("cb-loss", labels, beta=0.5).loss.weights.tolist() == pytest.approx([0.8, 1.2])


def test_the_class_branch_of_balanced_mixup_is_class_sampling_with_the_same_number_of_draws():
    # "simultaneously performs regular (i.e., instance-based) and balanced (i.e., class-based) sampling": a pair for each image.
    labels = np.repeat([0, 1], [900, 100])
    stage = stage_of("balanced-mixup", labels, alpha=1.0)
    partner, weight, *_ = stage.mix.pair(np.zeros(2000, np.int64), 1000, generator(0, "pairs"))
    mixed = weight > 0
    assert (partner[mixed] - 1000 == np.flatnonzero(mixed)).all()
    drawn = labels[stage.partners.rows(0, partner[mixed] - 1000)]
    assert drawn.mean() == pytest.approx(0.5, abs=0.05)
    assert (stage.partners.rows(0, np.arange(500)) == class_branch(labels).rows(0, np.arange(500))).all()
