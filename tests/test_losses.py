"""Losses on soft targets: equal to the hard-label definitions, linear in the targets, finite everywhere."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from balanced_mixup.errors import UsageError
from balanced_mixup.losses import ClassBalanced, CrossEntropy, Focal, effective_number_weights
from balanced_mixup.mixing import mix, one_hot

law = settings(max_examples=60, deadline=None)
COUNTS = [900, 80, 15, 5]
SOME_LOSSES = {
    "cross-entropy": CrossEntropy(),
    "focal": Focal(),
    "focal 0.5": Focal(0.5),
    "focal 5": Focal(5.0),
    "class-balanced": ClassBalanced(COUNTS),
    "class-balanced 0.9": ClassBalanced(COUNTS, 0.9),
}
each_loss = pytest.mark.parametrize("loss", SOME_LOSSES.values(), ids=SOME_LOSSES.keys())
some_counts = st.lists(st.integers(0, 10**5), min_size=1, max_size=8).filter(any)


@st.composite
def batches(draw, classes=4):
    """Logits float32 (B, K) and labels int64 (B,)."""
    size = draw(st.integers(1, 6))
    row = st.lists(st.floats(-30, 30, width=32), min_size=classes, max_size=classes)
    logits = torch.tensor(draw(st.lists(row, min_size=size, max_size=size)))
    return logits, torch.tensor(draw(st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)))


def random_targets(batch, classes, seed):
    return torch.rand(batch, classes, generator=torch.Generator().manual_seed(seed)).softmax(1)


# ---- By hand ----


def test_by_hand():
    # Probabilities 0.8, 0.2 and 0.5, 0.5.
    logits = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
    targets = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    log = np.log
    assert CrossEntropy()(logits, targets).item() == pytest.approx((-log(0.8) - log(0.5)) / 2)
    focal = (-(0.2**2) * log(0.8) - 0.5**2 * log(0.5)) / 2
    assert Focal(2.0)(logits, targets).item() == pytest.approx(focal)
    # beta 1/2: effective numbers (1 - 1/4) / (1/2) = 3/2 and 1; their inverses 2/3 and 1 have mean 5/6.
    assert effective_number_weights([2, 1], 0.5) == pytest.approx([0.8, 1.2])
    balanced = (-0.8 * log(0.8) - (0.25 * 0.8 + 0.75 * 1.2) * log(0.5)) / 2
    assert ClassBalanced([2, 1], 0.5)(logits, targets).item() == pytest.approx(balanced)


# ---- Hard labels ----


@law
@given(batches())
def test_cross_entropy_is_torchs(batch):
    logits, labels = batch
    assert torch.allclose(CrossEntropy()(logits, one_hot(labels, 4)), F.cross_entropy(logits, labels), atol=1e-6)
    targets = random_targets(len(labels), 4, 0)
    assert torch.allclose(CrossEntropy()(logits, targets), F.cross_entropy(logits, targets), atol=1e-5)


@law
@given(batches(), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_focal_is_lin_et_al_eq_4(batch, gamma):
    logits, labels = batch
    log_p = logits.double().log_softmax(1)[torch.arange(len(labels)), labels]
    expected = (-((1 - log_p.exp()) ** gamma) * log_p).mean()
    assert Focal(gamma)(logits, one_hot(labels, 4)).item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)


@law
@given(batches(), st.sampled_from([0.0, 0.5, 0.99, 0.9999]))
def test_class_balanced_is_the_weighted_mean_over_samples(batch, beta):
    logits, labels = batch
    effective = [1.0 if beta == 0 else (1 - beta**n) / (1 - beta) for n in COUNTS]
    weights = torch.tensor([4 / e / sum(1 / f for f in effective) for e in effective])
    expected = (weights[labels] * F.cross_entropy(logits, labels, reduction="none")).mean()
    assert torch.allclose(ClassBalanced(COUNTS, beta)(logits, one_hot(labels, 4)), expected, rtol=1e-5, atol=1e-6)
    summed = F.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels)
    assert torch.allclose(expected, summed, rtol=1e-5, atol=1e-6)


# ---- Soft targets ----


@each_loss
@settings(max_examples=25, deadline=None)
@given(batch=batches(), other=st.integers(0, 3), weight=st.floats(0, 1, width=32))
def test_linear_in_the_targets(loss, batch, other, weight):
    # So the loss of a mixed target is the mix of the losses, which is how MixUp was first written.
    logits, labels = batch
    first, second = one_hot(labels, 4), one_hot((labels + other) % 4, 4)
    mixed = loss(logits, mix(first, second, torch.full((len(labels),), weight)))
    parts = (1 - weight) * loss(logits, first) + weight * loss(logits, second)
    assert torch.allclose(mixed, parts, rtol=1e-4, atol=1e-5)


@law
@given(batches())
def test_focal_with_gamma_0_is_cross_entropy_and_a_larger_gamma_is_smaller(batch):
    logits, labels = batch
    targets = one_hot(labels, 4)
    assert torch.equal(Focal(0.0)(logits, targets), CrossEntropy()(logits, targets))
    values = [Focal(gamma)(logits, targets).item() for gamma in (0.0, 0.5, 2.0, 5.0)]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(values))


def test_focal_turns_from_easy_to_hard_samples():
    easy, hard = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    target = torch.tensor([[1.0, 0.0]])
    none, one, two = ((loss(hard, target) / loss(easy, target)).item() for loss in (CrossEntropy(), Focal(1.0), Focal(2.0)))
    # p = sigmoid(3): the factor is ((1 - sigmoid(-3)) / (1 - sigmoid(3)))^gamma = e^(3 gamma).
    assert one / none == pytest.approx(np.exp(3), rel=1e-4)
    assert two / none == pytest.approx(np.exp(6), rel=1e-4)


# ---- Weights by effective number ----


@law
@given(some_counts, st.floats(0, 0.999999))
def test_weights_have_mean_1_over_the_present_classes(counts, beta):
    weights = effective_number_weights(counts, beta)
    present = np.array(counts) > 0
    assert weights[present].mean() == pytest.approx(1)
    assert not weights[~present].any()
    assert (weights[present] > 0).all()
    # A rarer class never weighs less.
    order = np.argsort(np.array(counts)[present])
    assert (np.diff(weights[present][order]) <= 1e-12).all()


@law
@given(some_counts)
def test_beta_0_weighs_alike_and_beta_near_1_by_inverse_frequency(counts):
    n = np.array(counts, float)
    present = n > 0
    assert effective_number_weights(counts, 0.0) == pytest.approx(present.astype(float))
    inverse = np.where(present, 1 / np.maximum(n, 1), 0)
    expected = inverse / inverse[present].mean()
    assert effective_number_weights(counts, 1 - 1e-10) == pytest.approx(expected, rel=1e-4)


def test_weights_of_the_authors_default():
    # (1 - beta) / (1 - beta^n) for beta = 0.9999 and n = 10000, 100: 1e-4 / (1 - 0.367861), 1e-4 / (1 - 0.990049).
    raw = np.array([1e-4 / (1 - 0.9999**10000), 1e-4 / (1 - 0.9999**100)])
    assert raw == pytest.approx([1.58193e-4, 1.00496e-2], rel=1e-4)
    assert effective_number_weights([10000, 100], 0.9999) == pytest.approx(raw / raw.mean())
    assert ClassBalanced([10000, 100]).weights.numpy() == pytest.approx(raw / raw.mean(), rel=1e-6)


# ---- Numbers ----


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 10_000.0])
def test_loss_and_gradient_are_finite_at_extreme_logits(loss, dtype, size):
    signs = torch.tensor([[1.0, -1.0, 0.0, 1.0], [-1.0, 1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0], [0.0, -1.0, 0.0, 1.0]])
    logits = (size * signs).to(dtype).requires_grad_()
    for targets in (one_hot(torch.arange(4), 4), random_targets(4, 4, 1), one_hot(torch.tensor([1, 0, 1, 1]), 4).to(dtype)):
        logits.grad = None
        value = loss(logits, targets)
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert value >= 0
        assert logits.grad.dtype == dtype
        assert logits.grad.isfinite().all()


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(loss, dtype):
    logits = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    targets = random_targets(16, 4, 2)
    assert torch.equal(loss(logits, targets), loss(logits.float(), targets))


@each_loss
def test_gradient_is_the_derivative(loss):
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    targets = random_targets(5, 4, 3).double()

    def value(logits):
        return (targets * loss.per_class_loss(logits)).sum(1).mean()

    value(logits).backward()
    step = 1e-6 * torch.eye(20, dtype=torch.float64).reshape(20, 5, 4)
    central = [(value(logits.detach() + s) - value(logits.detach() - s)) / 2e-6 for s in step]
    assert torch.allclose(logits.grad.flatten(), torch.stack(central), atol=1e-8)


def test_gradient_of_cross_entropy_is_probability_minus_target():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = random_targets(6, 4, 4)
    CrossEntropy()(logits, targets).backward()
    assert torch.allclose(logits.grad, (logits.detach().softmax(1) - targets) / 6, atol=1e-6)


@law
@given(batches(), st.floats(-50, 50, width=32))
def test_adding_a_constant_to_the_logits_changes_nothing(batch, constant):
    logits, labels = batch
    targets = one_hot(labels, 4)
    for loss in SOME_LOSSES.values():
        assert torch.allclose(loss(logits + constant, targets), loss(logits, targets), rtol=1e-3, atol=1e-4)


# ---- Mistakes ----


@pytest.mark.parametrize(
    ("targets", "came"),
    [
        (torch.tensor([0, 1]), r"torch.int64 of shape \(2,\)"),
        (torch.tensor([[0, 1, 0], [1, 0, 0]]), r"torch.int64 of shape \(2, 3\)"),
        (torch.ones(2, 4) / 4, r"torch.float32 of shape \(2, 4\)"),
        (torch.ones(1, 3) / 3, r"torch.float32 of shape \(1, 3\)"),
    ],
)
def test_hard_or_misshapen_targets_are_named(targets, came):
    with pytest.raises(UsageError, match=rf"Expected `targets` to be soft targets of shape \(2, 3\), but got {came}.*one_hot"):
        CrossEntropy()(torch.zeros(2, 3), targets)


def test_the_reductions():
    logits, targets = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), random_targets(5, 4, 1)
    for loss in (Focal, lambda reduction="mean": ClassBalanced(COUNTS, reduction=reduction)):
        each = loss(reduction="none")(logits, targets)
        assert each.shape == (5,)
        assert torch.allclose(loss(reduction="sum")(logits, targets), each.sum())
        assert torch.allclose(loss()(logits, targets), each.mean())
    with pytest.raises(UsageError, match="Expected `reduction` to be 'mean', 'sum' or 'none', but got 'median'"):
        CrossEntropy("median")


def test_weights_move_with_the_model_and_stay_out_of_its_checkpoint():
    loss = ClassBalanced(COUNTS)
    assert not loss.state_dict()
    assert loss.to("meta").weights.device.type == "meta"


@pytest.mark.parametrize("gamma", [-0.1, float("nan")])
def test_bad_gamma_is_named(gamma):
    with pytest.raises(UsageError, match=f"Expected `gamma` to be at least 0, but got {gamma}"):
        Focal(gamma)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.5, float("nan")])
def test_bad_beta_is_named(beta):
    with pytest.raises(UsageError, match=rf"Expected `beta` to be in \[0, 1\), but got {beta}"):
        ClassBalanced([1, 2], beta)


@pytest.mark.parametrize("counts", [[], [0, 0], [3, -1], [[1, 2]], [1, float("nan")], [1, float("inf")]])
def test_bad_counts_are_named(counts):
    with pytest.raises(UsageError, match="Expected `counts` to be one number >= 0 per class, at least one above 0, but got"):
        ClassBalanced(counts)
