"""Losses that know the class counts: their published values, definitions on hard and soft targets, and what they teach."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from balanced_mixup.errors import UsageError
from balanced_mixup.losses import (
    BalancedBce,
    ClassBalanced,
    CrossEntropy,
    Focal,
    GaussianClouded,
    LabelAwareSmoothing,
    Ldam,
    LogitAdjusted,
    Seesaw,
    VectorScaling,
    frequency_weights,
)
from balanced_mixup.mixing import one_hot

COUNTS = [900, 80, 15, 5]
LOSSES = (LogitAdjusted, VectorScaling, Ldam, Seesaw, LabelAwareSmoothing, BalancedBce, GaussianClouded)
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def case(batch=5, classes=4):
    """Outputs, labels and soft targets."""
    g = torch.Generator().manual_seed(0)
    outputs = 2 * torch.randn(batch, classes, generator=g)
    return outputs, torch.arange(batch) % classes, torch.rand(batch, classes, generator=g).softmax(1)


# ---- Values ----


@pytest.mark.parametrize(
    ("loss", "scale", "first", "last"),
    [
        (CrossEntropy(), 1, 0.645911, 1.845911),
        (LogitAdjusted([100, 10, 1]), 1, 0.061720, 5.866891),
        (LogitAdjusted([100, 10, 1], 1.5), 1, 0.019294, 8.127049),
        (Ldam([100, 10, 1]), 30, 0.000035, 51.0),
        (ClassBalanced([100, 10, 1]), 1, 0.017542, 4.988525),
        (VectorScaling([100, 10, 1]), 1, 0.049517, 5.704925),
        (Seesaw([100, 10, 1]), 1, 0.098663, 3.823507),
        (LabelAwareSmoothing([100, 10, 1]), 1, 0.815911, 1.845911),
        (BalancedBce([100, 10, 1]), 1, 0.198294, 8.306049),
        (Focal(2.0), 1, 0.146235, 1.309054),
        (GaussianClouded([100, 10, 1]).eval(), 1, 0.645911, 1.845911),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_for_the_logits_1_05_and_minus_02(loss, scale, first, last):
    outputs = scale * torch.tensor([[1.0, 0.5, -0.2]])
    found = [loss(outputs, one_hot(torch.tensor([label]), 3)).item() for label in (0, 2)]
    assert found == pytest.approx([first, last], abs=1e-4)


def test_the_numbers_of_each_class_by_hand():
    # 81^(-1/4) = 1/3, 16^(-1/4) = 1/2.
    assert (Ldam([81, 16, 1], margin=0.6, scale=10).margins / 10).tolist() == pytest.approx([0.2, 0.3, 0.6])
    # sin(pi / 6) = 1/2 at a third of the way from the rarest to the most frequent.
    assert LabelAwareSmoothing([40, 20, 10], 0.4, 0.1).smoothing.tolist() == pytest.approx([0.4, 0.25, 0.1])
    assert LabelAwareSmoothing([7, 7], 0.4, 0.1).smoothing.tolist() == pytest.approx([0.1, 0.1])
    assert VectorScaling([100, 25], gamma=0.5).factors.tolist() == [1.0, 0.5]
    assert LogitAdjusted([3, 1], 2.0).adjustment.exp().tolist() == pytest.approx([9 / 16, 1 / 16])
    assert BalancedBce([3, 1]).adjustment.exp().tolist() == pytest.approx([3, 1 / 3])
    assert Seesaw([32, 1], mitigation=0.8).log_mitigation.exp().flatten().tolist() == pytest.approx([1, 1 / 16, 1, 1])
    # log 100 / log 10,000 = 1/2.
    assert GaussianClouded([10_000, 100, 1], noise=0.2, scale=10).reach.tolist() == pytest.approx([0, 1, 2])
    assert not GaussianClouded([5, 5]).reach.any()


def test_frequency_weights_are_scikit_learns_and_have_mean_1_over_the_samples():
    labels = np.repeat([0, 1, 3], [60, 17, 3])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    assert frequency_weights([60, 17, 0, 3])[[0, 1, 3]] == pytest.approx(expected)
    assert frequency_weights([16, 4], "sqrt") == pytest.approx(np.array([0.25, 0.5]) / 0.3)
    for weighting in ("balanced", "sqrt"):
        weights = frequency_weights([60, 17, 0, 3], weighting)
        assert weights[2] == 0
        assert weights[labels].mean() == pytest.approx(1)
    with pytest.raises(UsageError, match="Expected `weighting` to be one of balanced, sqrt, but got 'squared'"):
        frequency_weights([1, 2], "squared")


# ---- Definitions ----


def hard_seesaw(outputs, label, counts, p=0.8, q=2.0):
    """The definition for one sample, class by class."""
    probabilities = outputs.softmax(0)
    moved = outputs.clone()
    for j in range(len(outputs)):
        if j != label:
            mitigation = (counts[j] / counts[label]) ** p if counts[j] < counts[label] else 1.0
            ratio = probabilities[j] / max(probabilities[label].item(), 0.01)
            moved[j] += math.log(mitigation) + math.log(max(1.0, ratio) ** q)
    return -moved.log_softmax(0)[label]


def test_hard_labels_are_the_definitions():
    outputs, labels, _ = case()
    targets, n = one_hot(labels, 4), torch.tensor(COUNTS, dtype=torch.float32)
    shares = n / n.sum()
    assert torch.allclose(LogitAdjusted(COUNTS, 0.7)(outputs, targets), F.cross_entropy(outputs + 0.7 * shares.log(), labels))
    margins = 15 * (5 / n) ** 0.25
    assert torch.allclose(Ldam(COUNTS)(outputs, targets), F.cross_entropy(outputs - margins * targets, labels))
    moved = outputs * (n / 900) ** 0.3 + shares.log()
    assert torch.allclose(VectorScaling(COUNTS)(outputs, targets), F.cross_entropy(moved, labels))
    expected = torch.stack([hard_seesaw(row, label, COUNTS) for row, label in zip(outputs, labels, strict=True)])
    assert torch.allclose(Seesaw(COUNTS, reduction="none")(outputs, targets), expected, rtol=1e-5)
    log_p, eps = outputs.log_softmax(1), LabelAwareSmoothing(COUNTS).smoothing[labels]
    expected = (1 - eps) * -log_p[torch.arange(5), labels] - eps * log_p.mean(1)
    assert torch.allclose(LabelAwareSmoothing(COUNTS, reduction="none")(outputs, targets), expected)


def test_soft_targets_are_those_of_the_papers_losses():
    outputs, _, targets = case()
    n = torch.tensor(COUNTS, dtype=torch.float32)
    shares = n / n.sum()
    assert torch.allclose(LogitAdjusted(COUNTS)(outputs, targets), F.cross_entropy(outputs + shares.log(), targets))
    # Each class has its margin in proportion to its share.
    moved = outputs - 15 * (5 / n) ** 0.25 * targets
    assert torch.allclose(Ldam(COUNTS)(outputs, targets), F.cross_entropy(moved, targets))
    # The target itself is smoothed by the mean eps.
    eps = LabelAwareSmoothing(COUNTS).smoothing
    smooth = (1 - eps) * targets + (targets @ eps)[:, None] / 4
    assert torch.allclose(LabelAwareSmoothing(COUNTS)(outputs, targets), F.cross_entropy(outputs, smooth))
    moved = outputs + shares.logit()
    assert torch.allclose(BalancedBce(COUNTS)(outputs, targets), 4 * F.binary_cross_entropy_with_logits(moved, targets))
    hard = [[hard_seesaw(row, k, COUNTS) for k in range(4)] for row in outputs]
    assert torch.allclose(Seesaw(COUNTS)(outputs, targets), (torch.tensor(hard) * targets).sum(1).mean(), rtol=1e-5)


def test_at_special_settings_they_are_each_other():
    outputs, _, targets = case()
    plain = CrossEntropy()(outputs, targets)
    for loss in (
        LogitAdjusted(COUNTS, 0.0), VectorScaling(COUNTS, 0.0, 0.0), Ldam(COUNTS, 0.0), Seesaw(COUNTS, 0.0, 0.0),
        LabelAwareSmoothing(COUNTS, 0.0, 0.0), GaussianClouded(COUNTS, 0.0), CrossEntropy().weighted(np.ones(4)),
    ):  # fmt: skip
        assert torch.allclose(loss(outputs, targets), plain)
    assert torch.allclose(VectorScaling(COUNTS, 0.0, 0.7)(outputs, targets), LogitAdjusted(COUNTS, 0.7)(outputs, targets))
    weights = ClassBalanced(COUNTS).weights.numpy()
    assert torch.allclose(CrossEntropy().weighted(weights)(outputs, targets), ClassBalanced(COUNTS)(outputs, targets))


# ---- Numbers ----


@each_loss
@pytest.mark.parametrize("counts", [COUNTS, [900, 80, 0, 5], [0, 0, 7, 0]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("size", [0.0, 1.0, 10_000.0])
def test_loss_and_gradient_are_finite(loss, counts, dtype, size):
    signs = torch.tensor([[1.0, -1.0, 0.0, 1.0], [-1.0, 1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0], [0.0, -1.0, 0.0, 1.0]])
    outputs = (size * signs).to(dtype).requires_grad_()
    for targets in (one_hot(torch.arange(4), 4), case(4)[2]):
        outputs.grad = None
        value = loss(counts)(outputs, targets)
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert value >= 0
        assert outputs.grad.isfinite().all()


@each_loss
def test_gradient_is_the_derivative(loss):
    # The compensation of seesaw is a factor that no gradient goes through.
    loss = loss(COUNTS, compensation=0.0) if loss is Seesaw else loss(COUNTS).eval()
    loss = loss.double()
    outputs, _, targets = (tensor.double() for tensor in case())
    outputs.requires_grad_()

    def value(outputs):
        return (targets * loss.per_class_loss(loss.adjusted(outputs, targets))).sum(1).mean()

    assert torch.autograd.gradcheck(value, outputs)


def test_gradient_of_seesaw_is_probability_minus_target_of_the_outputs_as_it_sees_them():
    outputs, labels, _ = case()
    outputs.requires_grad_()
    Seesaw(COUNTS, reduction="sum")(outputs, one_hot(labels, 4)).backward()
    for row, gradient, label in zip(outputs.detach(), outputs.grad, labels, strict=True):
        seen = torch.stack([hard_seesaw(row, label, COUNTS)])  # -log p_y
        assert gradient[label].item() == pytest.approx((-seen).exp().item() - 1, abs=1e-5)
        assert gradient.sum().item() == pytest.approx(0, abs=1e-5)


# ---- Noise ----


def test_the_noise_lowers_cosines_of_rare_classes_by_what_torchs_generator_draws():
    loss = GaussianClouded(COUNTS)
    outputs = torch.zeros(20_000, 4)
    torch.manual_seed(0)
    seen = loss.adjusted(outputs, outputs)
    torch.manual_seed(0)
    assert torch.equal(loss.adjusted(outputs, outputs), seen)
    assert not torch.equal(loss.adjusted(outputs, outputs), seen)
    assert torch.equal(loss.eval().adjusted(outputs, outputs), outputs)
    factors = -seen / loss.reach
    assert not seen[:, 0].any()
    assert factors[:, 1:].min() >= 0
    assert factors[:, 1:].max() == 1
    # The mean of |N(0, 1/3)| is sqrt(2 / pi) / 3.
    assert factors[:, 1:].mean(0).tolist() == pytest.approx([math.sqrt(2 / math.pi) / 3] * 3, abs=0.01)
    # And that by which the odds of a rare class are lowered.
    lowered = seen.double().exp().mean(0).numpy()
    assert loss.taught_prior(np.full(4, 0.25)) == pytest.approx(1 / lowered / (1 / lowered).sum(), rel=0.05)


# ---- What they teach ----


def implied_prior(loss, counts, means):
    """Return the class prior of the outputs of a logistic regression that is trained with a loss.

    Classes are normal distributions of the same width, for which a logistic regression is the right model: its outputs less the
    log-densities are then the log-prior.
    """
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = torch.from_numpy(means[labels] + rng.normal(size=(len(labels), means.shape[1]))).float()
    targets, layer = one_hot(torch.from_numpy(labels), len(counts)), torch.nn.Linear(means.shape[1], len(counts))
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        value = loss(layer(features), targets)
        value.backward()
        return value

    optimizer.step(step)
    evenly = torch.from_numpy(means[np.arange(300) % len(means)] + rng.normal(size=(300, means.shape[1]))).float()
    squares = ((evenly[:, None] - torch.from_numpy(means).float()) ** 2).sum(2)
    with torch.no_grad():
        return (layer(evenly).log_softmax(1) + squares / 2).mean(0).softmax(0).numpy()


@pytest.mark.parametrize(
    "make",
    [
        lambda counts: CrossEntropy(),
        ClassBalanced,
        lambda counts: CrossEntropy().weighted(frequency_weights(counts, "sqrt")),
        LogitAdjusted,
        lambda counts: LogitAdjusted(counts, 0.5),
        lambda counts: LogitAdjusted(counts, 0.5).weighted(frequency_weights(counts, "sqrt")),
    ],
)
def test_the_outputs_of_a_logistic_regression_have_the_prior_that_the_loss_teaches(make):
    counts = np.array([4000, 800, 200])
    loss = make(counts)
    found = implied_prior(loss, counts, np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]]))
    assert np.log(found) == pytest.approx(np.log(loss.taught_prior(counts / counts.sum())), abs=0.25)


def test_large_margins_leave_the_boundary_where_the_classes_are_equally_probable():
    """Under the proportions of the targets, which `Ldam` says it teaches; the probabilities are too sure beside it."""
    loss, difference = Ldam([100, 20], margin=0.5), torch.linspace(-30, 30, 2401)
    outputs = torch.stack([difference, torch.zeros_like(difference)], 1)
    of_first, of_second = (
        torch.nn.functional.cross_entropy(loss.adjusted(outputs, target), target, reduction="none")
        for target in (one_hot(torch.full((2401,), k), 2) for k in (0, 1))
    )
    best = {eta: difference[(eta * of_first + (1 - eta) * of_second).argmin()].item() for eta in (0.4, 0.48, 0.52, 0.6)}
    assert best[0.4] < best[0.48] < 0 < best[0.52] < best[0.6]
    assert best[0.6] > 5


# ---- Mistakes ----


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogitAdjusted([1, 2], -1), "Expected `tau` to be at least 0, but got -1"),
        (lambda: VectorScaling([1, 2], math.nan), "Expected `gamma` to be at least 0, but got nan"),
        (lambda: VectorScaling([1, 2], 0.3, math.inf), "Expected `tau` to be at least 0, but got inf"),
        (lambda: Ldam([1, 2], -0.5), r"Expected `margin` to be at least 0, but got -0\.5"),
        (lambda: Seesaw([1, 2], -1), "Expected `mitigation` to be at least 0, but got -1"),
        (lambda: Seesaw([1, 2], 1, -1), "Expected `compensation` to be at least 0, but got -1"),
        (lambda: LabelAwareSmoothing([1, 2], 1.5), r"Expected `smooth_head` to be in \[0, 1\], but got 1\.5"),
        (lambda: LabelAwareSmoothing([1, 2], 0.5, -1), r"Expected `smooth_tail` to be in \[0, 1\], but got -1"),
        (lambda: GaussianClouded([1, 2], math.nan), "Expected `noise` to be at least 0, but got nan"),
        (lambda: CrossEntropy().weighted([1, -1]), "Expected `weights` to be one number >= 0 per class, at least one above 0"),
        (lambda: CrossEntropy().weighted([0, 0]), "Expected `weights` to be one number >= 0 per class, at least one above 0"),
        *((lambda loss=loss: loss([0, 0]), "Expected `counts` to be one number >= 0 per class") for loss in LOSSES),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()
