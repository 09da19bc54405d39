"""The methods that start from a trained model: what they change, and what they leave alone."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.neighbors import NearestCentroid
from torch import nn

from balanced_mixup.errors import UsageError
from balanced_mixup.methods import METHODS, Crt, Features, Lws, Mislas, Ncm, PostHocAdjustment, TauNorm, TrainSet
from balanced_mixup.methods.ncm import class_means
from balanced_mixup.methods.tau_norm import TAUS, tau_normalised
from balanced_mixup.training.batch_statistics import renew_statistics
from balanced_mixup.training.inputs import ImageInputs
from balanced_mixup.training.preprocessing import Preprocessing
from balanced_mixup.training.scaled_head import ScaledHead

K, F = 4, 6
FINISHING = [name for name, method in METHODS.items() if method().finishes]


def some_features(n, seed, labels=(0, 0, 0, 1, 1, 3)):
    """Features of n images; class 2 has none."""
    g = torch.Generator().manual_seed(seed)
    y = torch.tensor(labels)[torch.randint(len(labels), (n,), generator=g)]
    return Features(torch.randn(n, F, generator=g).abs() + 2 * nn.functional.one_hot(y, F), y)


TRAIN, VAL = some_features(60, 0), some_features(40, 1)


def some_head(kind=nn.Linear, **options):
    torch.manual_seed(0)
    return kind(F, K, **({"kernel_size": 1} if kind is nn.Conv2d else {}), **options).requires_grad_(False)


@pytest.mark.parametrize("name", FINISHING)
def test_a_finished_head_is_finite_the_same_for_a_convolution_and_never_names_an_absent_class(name):
    method = METHODS[name]()
    heads = some_head(), some_head(nn.Conv2d)
    for head in heads:
        method.finish(head, TRAIN, VAL)
    assert torch.equal(heads[0].weight, heads[1].weight.flatten(1))
    assert torch.equal(heads[0].bias, heads[1].bias)
    assert all(parameter.isfinite().all() for parameter in heads[0].parameters())
    for prior in (np.array([0.5, 0.3, 0.0, 0.2]), np.array([1.0, 0, 0, 0])):
        finished = method.finished_prior(prior)
        assert finished.sum() == pytest.approx(1)
        assert ((finished > 0) == (prior > 0)).all()
    if name == "ncm":
        assert not (heads[0](VAL.values).argmax(dim=1) == 2).any()


class TestTau:
    """tau-norm."""

    def test_by_hand(self):
        weights = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]])
        assert torch.equal(tau_normalised(weights, 0), weights)
        assert tau_normalised(weights, 1).norm(dim=1).tolist() == pytest.approx([2, 0, 2])  # the mean norm
        assert tau_normalised(weights, 0.5)[0].tolist() == pytest.approx((weights[0] * (2 / 5) ** 0.5).tolist())

    def test_it_is_chosen_by_the_validation_images_alone(self):
        head = some_head()
        weights = head.weight.clone()
        TauNorm().finish(head, TRAIN, VAL)
        other = some_head()
        TauNorm().finish(other, Features(TRAIN.values.flip(0), TRAIN.labels), VAL)
        assert torch.equal(head.weight, other.weight)

        def score(tau):
            predicted = (VAL.values @ tau_normalised(weights, tau).T).argmax(dim=1)
            return np.mean([(predicted[VAL.labels == k] == k).double().mean() for k in (0, 1, 3)])

        best = max(TAUS, key=score)
        assert torch.equal(head.weight, tau_normalised(weights, best))
        assert not head.bias.any()

    def test_it_can_be_given(self):
        head = some_head(bias=False)
        weights = head.weight.clone()
        TauNorm(norm_power=1.5).finish(head, TRAIN, VAL)
        assert torch.equal(head.weight, tau_normalised(weights, 1.5))


def test_the_nearest_class_mean_is_that_of_scikit_learn():
    head = some_head()
    Ncm().finish(head, TRAIN, VAL)
    unit = nn.functional.normalize(VAL.values, dim=1).numpy()
    centroids = NearestCentroid().fit(nn.functional.normalize(TRAIN.values, dim=1).numpy(), TRAIN.labels.numpy())
    # Means of unit length, for which the nearest is the one of the largest cosine.
    means = centroids.centroids_ / np.linalg.norm(centroids.centroids_, axis=1, keepdims=True)
    nearest = np.linalg.norm(unit[:, None] - means[None], axis=2).argmin(axis=1)
    assert (head(VAL.values).argmax(dim=1).numpy() == centroids.classes_[nearest]).all()
    # The scale has the smallest log loss on validation among its neighbours.
    means, scale = class_means(TRAIN, K), head.weight.norm(dim=1)[0]
    losses = [nn.functional.cross_entropy(s * VAL.values @ means.T, VAL.labels).item() for s in (scale / 2, scale, 2 * scale)]
    assert min(losses) == losses[1]


def test_frequency_is_subtracted_from_logits():
    head, before = some_head(), some_head()
    PostHocAdjustment(tau=1.5).finish(head, TRAIN, VAL)
    share = TRAIN.labels.bincount(minlength=K) / len(TRAIN.labels)
    expected = before(VAL.values) - 1.5 * torch.where(share > 0, share, torch.ones(())).log()
    assert torch.allclose(head(VAL.values), expected, atol=1e-5)
    assert PostHocAdjustment(tau=1).finished_prior(np.array([0.9, 0.1, 0])) == pytest.approx([0.5, 0.5, 0])
    with pytest.raises(UsageError, match=r"The head of this backbone \(Linear\) has no bias"):
        PostHocAdjustment().finish(some_head(bias=False), TRAIN, VAL)


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d])
def test_scales_multiply_logits_and_become_weights(kind):
    layer = some_head(kind)
    features = VAL.values if kind is nn.Linear else VAL.values[:, :, None, None]
    head = ScaledHead(layer)
    assert torch.equal(head(features), layer(features).flatten(1))
    assert [name for name, parameter in head.named_parameters() if parameter.requires_grad] == ["scales"]
    scales = torch.tensor([0.5, 2.0, 1.0, -1.0])
    before = layer(features).flatten(1)
    head.scales.data.copy_(scales)
    head.fold_into(layer)
    assert torch.allclose(layer(features).flatten(1), before * scales, atol=1e-5)
    assert torch.allclose(head(features), layer(features).flatten(1), atol=1e-5)
    with pytest.raises(UsageError, match="The classes of a Identity cannot be scaled"):
        ScaledHead(nn.Identity())


# ---- Trained ----


def changed_by(fitted, name):
    """Return the tensors of a trained model that differ from its base's, by name, and the model's."""
    run, model = fitted(name)
    base, state = load_file(run.end_of_base.weights), model.state_dict()
    assert base.keys() == state.keys()
    return {key for key in base if not torch.equal(base[key], state[key])}, base, state


@pytest.mark.parametrize("name", ["crt", "lws", "tau-norm", "ncm", "post-hoc-adjustment"])
def test_every_tensor_of_the_backbone_is_bit_for_bit_that_of_the_base(fitted, name):
    changed, base, state = changed_by(fitted, name)
    assert changed
    assert changed <= {"fc.weight", "fc.bias"}
    if name == "lws":
        factors = state["fc.weight"] / base["fc.weight"]
        assert torch.allclose(factors, factors[:, :1].expand_as(factors), rtol=1e-3)
        assert torch.allclose(state["fc.bias"], base["fc.bias"] * factors[:, 0], rtol=1e-3)


def test_mislas_renews_the_statistics_of_batch_normalisation_and_nothing_else_of_the_backbone(fitted):
    changed, _, _ = changed_by(fitted, "mislas")
    assert changed - {"fc.weight", "fc.bias"}
    assert all("running" in name or "num_batches" in name for name in changed - {"fc.weight", "fc.bias"})


def test_renewed_statistics_are_the_means_over_the_batches():
    layer = nn.BatchNorm2d(3)
    layer.running_mean.fill_(9.0)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(12, K)).train()
    batches = list(small_batches())
    inputs = ImageInputs(Preprocessing([0.0] * 3, [1.0] * 3), "none")
    renew_statistics(model, inputs, batches, torch.device("cpu"))
    seen = [batch.pixels.float().permute(0, 3, 1, 2) / 255 for batch in batches]
    assert torch.allclose(layer.running_mean, torch.stack([each.mean(dim=(0, 2, 3)) for each in seen]).mean(0), atol=1e-5)
    assert layer.momentum == 0.1
    assert not any(module.training for module in model.modules())


def small_batches():
    from balanced_mixup.data.batches import TrainBatches
    from balanced_mixup.data.pixels import ArrayPixels

    labels = np.array([0, 1, 0, 3, 0, 1, 0, 0])
    pixels = np.random.default_rng(0).integers(0, 256, (8, 2, 2, 3), dtype=np.uint8)
    (stage,) = Crt().stages(TrainSet(labels, K, 2, 0))
    return TrainBatches(ArrayPixels(pixels), labels, np.arange(8), stage, batch_size=4, seed=0, epoch=0)


def test_the_weights_of_a_class_never_grow_longer_than_max_norm(fitted):
    model = fitted("weight-balancing")[1]
    norms = model.fc.weight.detach().norm(dim=1)
    assert 0.08 < norms.max() <= 0.1 + 1e-6  # the running average of weights of at most this length
    assert fitted("weight-balancing", max_norm=9.0)[1].fc.weight.norm(dim=1).max() > 0.1  # what it would be without


def test_methods_of_one_first_stage_share_it():
    assert Crt().base() == Lws().base() == TauNorm().base() == Ncm().base() == PostHocAdjustment().base()
    assert Mislas(alpha=0.4).base() == METHODS["mixup"](alpha=0.4)
