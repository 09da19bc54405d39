"""CORN and CORAL: losses and heads for grades, against the authors' package."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coral_pytorch.dataset import levels_from_labelbatch, proba_to_label
from coral_pytorch.losses import coral_loss, corn_loss

from balanced_mixup import heads
from balanced_mixup.errors import UsageError
from balanced_mixup.losses import Coral, Corn
from balanced_mixup.mixing import one_hot

BOTH = pytest.mark.parametrize("name", ["corn", "coral"])
LOSSES = {"corn": Corn, "coral": Coral}


def case(classes=5, batch=30, seed=0):
    g = torch.Generator().manual_seed(seed)
    outputs = 2 * torch.randn(batch, classes - 1, generator=g)
    return outputs, torch.randint(classes, (batch,), generator=g), torch.rand(batch, classes, generator=g).softmax(1)


def test_values_of_the_authors_docstrings():
    outputs = torch.tensor([[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]])
    assert Coral()(outputs, one_hot(torch.tensor([2, 1, 4]), 5)).item() == pytest.approx(0.6920, abs=5e-5)
    torch.manual_seed(123)
    features, labels, layer = torch.rand(8, 99), torch.tensor([0, 1, 2, 2, 2, 3, 4, 4]), torch.nn.Linear(99, 4)
    assert Corn()(layer(features), one_hot(labels, 5)).item() == pytest.approx(0.7127, abs=5e-5)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_hard_labels_are_the_authors_losses(classes):
    outputs, labels, _ = case(classes)
    targets = one_hot(labels, classes)
    assert torch.allclose(Corn()(outputs, targets), corn_loss(outputs, labels, classes))
    levels = levels_from_labelbatch(labels, classes)
    assert torch.allclose(Coral()(outputs, targets), coral_loss(outputs, levels))
    assert torch.allclose(Coral("none")(outputs, targets), coral_loss(outputs, levels, reduction=None))


def test_soft_targets_count_by_their_mass_above_each_threshold():
    outputs, _, targets = case()
    above = 1 - targets.cumsum(1)[:, :-1]
    binary = F.binary_cross_entropy_with_logits(outputs, above, reduction="sum") / len(outputs)
    assert torch.allclose(Coral()(outputs, targets), binary)
    at_least = above + targets[:, :-1]
    each = at_least * F.softplus(outputs) - above * outputs
    assert torch.allclose(Corn()(outputs, targets), each.sum() / at_least.sum(), rtol=1e-5)


@BOTH
def test_gradient_is_the_derivative(name):
    loss = LOSSES[name]()
    outputs, _, targets = case(batch=4)
    targets = targets.double()

    def value(outputs):
        return (targets * loss.per_class_loss(outputs)).sum() / loss.terms(targets).sum()

    assert torch.autograd.gradcheck(value, outputs.double().requires_grad_())


@BOTH
def test_a_batch_of_wrong_targets_is_named(name):
    with pytest.raises(UsageError, match=r"Expected `targets` to be soft targets of shape \(3, 5\), but got torch.float32"):
        LOSSES[name]()(torch.zeros(3, 4), torch.zeros(3, 4))


# ---- Heads ----


@BOTH
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_at_the_start_all_grades_are_equally_probable(name, classes):
    head = heads.HEADS[name]()
    layer = head.layer(7, classes)
    outputs = layer(torch.randn(4, 7, 1, 1))  # as of a convolution
    assert outputs.shape == (4, classes - 1)
    assert head.probabilities(outputs.detach()).numpy() == pytest.approx(np.full((4, classes), 1 / classes), abs=1e-6)
    assert sum(p.numel() for p in layer.parameters()) == (7 if name == "coral" else 7 * (classes - 1)) + classes - 1


def test_probabilities_of_corn_multiply_the_conditional_ones():
    outputs = torch.tensor([[0.8, 0.5, 0.1]]).logit()
    expected = [0.2, 0.8 * 0.5, 0.8 * 0.5 * 0.9, 0.8 * 0.5 * 0.1]
    assert heads.Corn().probabilities(outputs)[0].tolist() == pytest.approx(expected)


def test_probabilities_of_coral_are_differences_also_where_thresholds_cross():
    expected = pytest.approx([0.1, 0.2, 0.4, 0.3])
    for order in itertools.permutations([0.9, 0.7, 0.3]):
        outputs = torch.tensor([order]).logit()
        probabilities = heads.Coral().probabilities(outputs)
        assert probabilities[0].tolist() == expected
        # The authors' grade, the number of thresholds that are passed, is the median.
        median = int((probabilities.cumsum(1) < 0.5).sum())
        assert median == proba_to_label(outputs.sigmoid()).item()
    # Digits are kept where cumulative probabilities are near 1.
    sure = heads.Coral().probabilities(torch.tensor([[30.0, 20.0]]))[0]
    assert sure.tolist() == pytest.approx([np.exp(-30), np.exp(-20), 1], rel=1e-3)


@BOTH
@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5]])
def test_a_model_that_sees_nothing_answers_with_the_prior_that_the_loss_teaches(name, weights):
    loss, proportions = LOSSES[name](), np.array([0.6, 0.1, 0.3])
    loss = loss if weights is None else loss.weighted(weights)
    prior = loss.taught_prior(proportions)
    above = torch.from_numpy(1 - prior.cumsum()[:-1])
    outputs = (above / torch.cat([torch.ones(1), above[:-1]]) if name == "corn" else above).logit()[None].float()
    assert heads.HEADS[name]().probabilities(outputs)[0].numpy() == pytest.approx(prior, abs=1e-6)
    outputs.requires_grad_()
    loss(outputs, torch.from_numpy(proportions)[None].float()).backward()
    assert outputs.grad[0].tolist() == pytest.approx([0, 0], abs=1e-6)
