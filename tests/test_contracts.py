"""Contracts over everything that is registered; a new entry is checked here without a change to this file.

Also the rules of the layout: imports go one way and in no circle, and importing the package is cheap.
"""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import balanced_mixup
from balanced_mixup import losses, mixing
from balanced_mixup.cli.flags import Flags
from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS
from balanced_mixup.data.batches import TrainBatches
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.errors import UsageError
from balanced_mixup.heads import HEADS, head_from_dict, head_to_dict
from balanced_mixup.losses import Loss
from balanced_mixup.methods import METHODS, Method, TrainSet, get_method
from balanced_mixup.metrics import METRICS
from balanced_mixup.mixing import NEGLIGIBLE, Mix, Weights, mix, one_hot
from balanced_mixup.randomness import generator
from balanced_mixup.training.recipe import RECIPES, Recipe, load_yaml, make_recipe
from balanced_mixup.training.segments import first_method, segments_of

# Class 2 is absent from the training labels, as in a fold of a long-tailed data set.
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [60, 17, 3]))
CLASSES = 4
COUNTS = [60, 17, 0, 3]


def each(registry):
    assert registry
    return pytest.mark.parametrize("name", registry)


def exported(package, base):
    """Return the classes of a kind that a package exports, by name, the abstract ones left out."""
    found = {name: getattr(package, name) for name in package.__all__}
    return {n: c for n, c in found.items() if isinstance(c, type) and issubclass(c, base) and not inspect.isabstract(c)}


LOSSES, MIXES = exported(losses, Loss), exported(mixing, Mix)


def make_loss(name, **settings):
    """Return a loss by its defaults, and by the class counts where it needs them; without what is random in training."""
    if "counts" in inspect.signature(LOSSES[name]).parameters:
        settings["counts"] = COUNTS
    return LOSSES[name](**settings).eval()


def make_mix(name, **settings):
    """Return a mix by its defaults, by the class counts where it needs them, and by those settings that it has."""
    parameters = inspect.signature(MIXES[name]).parameters
    return MIXES[name](**{key: value for key, value in {"counts": COUNTS, **settings}.items() if key in parameters})


def shown_targets(mixing, labels, partner_labels, steps, batch=128):
    """Return the mean target (K,) that a mix makes of samples of these classes, with partners of those of a second branch."""
    total, images = torch.zeros(CLASSES), torch.zeros(batch, 1, 16, 16)
    for step in range(steps):
        own = slice(step * batch, (step + 1) * batch)
        candidates = np.concatenate([labels[own], partner_labels[own]]) if mixing.needs_partners else labels[own]
        partner, weight, target_weight, box = mixing.pair(candidates, batch, generator(0, "shown", step))
        weights = Weights(*map(torch.from_numpy, (weight, target_weight, np.zeros((batch, 4)) if box is None else box)))
        targets = one_hot(torch.from_numpy(candidates), CLASSES)
        total += mix(targets[:batch], targets[partner], mixing.mix_images(images, images, weights)[1]).sum(0)
    return (total / total.sum()).numpy()


# ---- Methods ----


def plan_of(name, epochs=5, seed=0, labels=LABELS):
    """Return the segments of a method with its default settings."""
    return segments_of(METHODS[name](), TrainSet(labels, CLASSES, epochs, seed))


def stages_of(name, **settings):
    return [(first, stage, segment) for segment in plan_of(name, **settings) for first, stage in segment.stages]


def steps_of(name, seed=0, epoch=0):
    """Yield loss, targets and model of each step of an epoch over noise, by a linear model, for each stage of the method."""
    pixels = np.random.default_rng(1).integers(0, 256, (len(LABELS), 4, 4, 3), dtype=np.uint8)
    rows = np.arange(len(LABELS))
    torch.manual_seed(0)
    for first, stage, segment in stages_of(name, seed=seed):
        batches = TrainBatches(ArrayPixels(pixels), LABELS, rows, stage, batch_size=8, seed=seed, epoch=first + epoch)
        model = torch.nn.Linear(48, segment.head.num_outputs(CLASSES))
        torch.nn.init.constant_(model.bias, 0.0)
        torch.nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(0))
        for batch in batches:
            images, targets = batch.mixed(batch.pixels.permute(0, 3, 1, 2) / 255, CLASSES, stage.mix)
            yield stage.loss(model(images.flatten(1)), targets), targets, model


@each(METHODS)
def test_a_method_trains(name):
    steps = list(steps_of(name))
    assert len(steps) == len(stages_of(name)) * (len(LABELS) // 8)
    for loss, targets, model in steps:
        assert targets.shape == (8, CLASSES)
        assert targets.dtype == torch.float32
        assert torch.allclose(targets.sum(1), torch.ones(8), atol=1e-6)
        assert (targets >= 0).all()
        assert not targets[:, 2].any()
        assert loss.isfinite()
        assert loss > 0
        model.zero_grad()
        loss.backward()
        assert model.weight.grad.isfinite().all()
        assert model.weight.grad.any()


@each(METHODS)
def test_a_method_is_reproducible_for_its_key_and_differs_for_another(name):
    def epoch_of(seed, epoch):
        return [loss.item() for loss, _, _ in steps_of(name, seed, epoch)]

    assert epoch_of(0, 1) == epoch_of(0, 1)
    assert epoch_of(0, 1) != epoch_of(0, 2)
    assert epoch_of(0, 1) != epoch_of(1, 1)


@each(METHODS)
def test_a_method_introduces_itself(name):
    method = get_method(name)
    assert method().name == name
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)
    assert method.title
    assert method.summary().endswith(".")
    assert len(method.summary()) < 120
    # A paper is named with its year; only plain ways to sample have none.
    assert re.search(r"\(.*\d{4}.*\)|\(q = ", method.summary())
    fields = {field: info for field, info in method.model_fields.items() if field != "name"}
    assert all(info.description for info in fields.values())
    assert method().settings_changed() == {}
    assert set(method().settings()) == set(fields)


@each(METHODS)
def test_a_methods_stages_fill_the_epochs_and_teach_a_class_prior(name):
    counts = np.array(COUNTS)
    for epochs in (1, 5, 12):
        segments = plan_of(name, epochs=epochs)
        assert segments[0].start == 0
        for segment, following in pairwise(segments):
            assert segment.end == following.start
        for segment in segments:
            firsts = [first for first, _ in segment.stages]
            assert firsts == sorted(set(firsts))
            assert segment.last_start < segment.end
            prior = segment.class_prior(counts)
            assert prior.shape == (CLASSES,)
            assert prior.sum() == pytest.approx(1)
            assert (prior[counts > 0] > 0).all()
            assert prior[2] == 0
            names = [stage.name for _, stage in segment.stages]
            assert all(names)
    assert not segments[0].new_head
    assert segments[0].head == first_method(METHODS[name]()).head()
    assert segments[-1].head == METHODS[name]().head()


@each(METHODS)
def test_a_methods_class_prior_is_that_of_the_targets_that_it_shows(name):
    counts, steps, batch = np.array(COUNTS), 100, 128
    for first, stage, _ in stages_of(name, epochs=12):
        epochs, shown = range(first, first + 2), []
        for epoch in epochs:
            positions = np.arange(steps * batch)
            labels = LABELS[stage.branch.rows(epoch, positions)]
            partners = None if stage.partners is None else LABELS[stage.partners.rows(epoch, positions)]
            shown.append(shown_targets(stage.mix, labels, partners, steps))
        shown = np.mean(shown, axis=0)
        assert stage.target_proportions(counts, epochs) == pytest.approx(shown, abs=0.01)
        assert stage.class_prior(counts, epochs) == pytest.approx(stage.loss.taught_prior(shown.astype(float)), abs=0.03)


@each(METHODS)
def test_a_recipe_with_a_method_survives_its_yaml(name, tmp_path):
    recipe = make_recipe({"method": name})
    assert make_recipe({"method": METHODS[name]()}) == recipe
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert make_recipe(load_yaml(path)) == recipe
    assert type(make_recipe(load_yaml(path)).method) is METHODS[name]
    assert load_yaml(path).keys() == {"format", *recipe.settings()}


def test_settings_of_methods_do_not_clash():
    """They share one command line and one file: no name of the recipe's, and one type for one name."""
    types = {}
    for method in METHODS.values():
        for name, field in method.model_fields.items():
            if name != "name":
                assert name not in Recipe.model_fields
                assert name not in ("format", "label", "out", "config", "resume", "base", "report", "json")
                assert types.setdefault(name, field.annotation) == field.annotation
                assert name in Flags.model_fields


def test_a_misspelt_method_is_an_error_that_names_the_nearest():
    for name in METHODS:
        if len(name) > 4:
            with pytest.raises(UsageError, match=rf"Expected `method` to be one of .*Did you mean '{name}'\?"):
                get_method(name[:-1])


def test_two_methods_of_one_name_are_refused():
    taken = next(iter(METHODS))
    with pytest.raises(UsageError, match=f"Expected methods with unique names, but '{taken}' is taken by"):
        METHODS.add(type("Other", (Method,), {"__annotations__": {"name": str}, "name": taken, "__module__": __name__}))
    assert METHODS[taken].__name__ != "Other"


# ---- Sampling ----


def branches_of(name, labels, seed=0):
    """Return the branches that a method's stages draw from."""
    stages = [stage for _, stage, _ in stages_of(name, epochs=3, seed=seed, labels=labels)]
    return [branch for stage in stages for branch in (stage.branch, stage.partners) if branch is not None]


@each(METHODS)
@pytest.mark.parametrize("labels", [LABELS, np.array([0, 0, 1]), np.array([1, 1]), np.array([0])], ids=len)
def test_a_methods_branches_are_streams_of_seed_and_epoch(name, labels):
    positions = np.arange(90)
    for branch, again, other in zip(*(branches_of(name, labels, seed) for seed in (0, 0, 1)), strict=True):
        for epoch in range(3):
            rows = branch.rows(epoch, positions)
            assert branch.n == len(labels)
            assert rows.shape == positions.shape
            assert rows.dtype == np.int64
            assert set(rows.tolist()) <= set(range(len(labels)))
            # Each row comes up: there are 90 draws.
            assert len(labels) > 3 or set(rows.tolist()) == set(range(len(labels)))
            # Any part of it can be drawn alone, and in any order.
            assert (branch.rows(epoch, positions[::-3]) == rows[::-3]).all()
            assert (again.rows(epoch, positions) == rows).all()
            if len(labels) > 1:
                assert (branch.rows(epoch + 1, positions) != rows).any()
                assert (other.rows(epoch, positions) != rows).any()


@each(METHODS)
def test_a_methods_branches_draw_as_often_as_they_say_and_the_members_of_a_class_alike(name):
    for branch in branches_of(name, LABELS):
        for epoch in range(3):
            rows = branch.rows(epoch, np.arange(24_000))
            assert set(rows.tolist()) == set(range(len(LABELS)))
            times = np.bincount(rows)
            for label in np.unique(LABELS):
                expected = times[label == LABELS].mean()
                assert np.abs(times[label == LABELS] - expected).max() <= 5 * expected**0.5
            said = branch.class_probabilities(np.array(COUNTS), epoch)
            drawn = np.bincount(LABELS[rows], minlength=CLASSES) / len(rows)
            assert np.abs(said - drawn).max() < 4 * (0.25 / len(rows)) ** 0.5


# ---- Mixes ----


@each(MIXES)
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_a_mix_pairs_and_weighs(name, batch):
    mixing = make_mix(name)
    candidates = 2 * batch if mixing.needs_partners else batch
    for step in range(30):
        labels = generator(0, "labels", step).choice([0, 1, 3], candidates)
        paired = mixing.pair(labels, batch, generator(0, "mixing", step))
        again = mixing.pair(labels, batch, generator(0, "mixing", step))
        assert all(np.array_equal(one, other) for one, other in zip(paired, again, strict=True))
        partner, weight, target_weight, box = paired
        assert partner.shape == weight.shape == target_weight.shape == (batch,)
        assert weight.dtype == target_weight.dtype == np.float32
        for each_weight in (weight, target_weight):
            assert ((each_weight >= 0) & (each_weight <= 1)).all()
        assert ((weight == 0) | (weight >= np.float32(NEGLIGIBLE))).all()
        assert partner.min() >= 0
        assert partner.max() < candidates
        # Who is not mixed is its own partner, so that nothing is read for it.
        unmixed = (weight == 0) & (target_weight == 0)
        assert (partner[unmixed] == np.flatnonzero(unmixed)).all()
        images = torch.rand(candidates, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        boxes = np.zeros((batch, 4), np.float32) if box is None else box
        weights = Weights(*map(torch.from_numpy, (weight, target_weight, boxes)))
        mixed, exact_weight = mixing.mix_images(images[:batch], images[partner], weights)
        assert exact_weight.shape == (batch,)
        assert exact_weight.dtype == torch.float32
        assert mixed.shape == (batch, 3, 4, 4)
        assert torch.equal(mixed[weight == 0], images[:batch][weight == 0])
        assert mixed.min() >= 0
        assert mixed.max() <= 1
        if mixing.mixes_features:
            features = images.flatten(1)
            assert mixing.mix_images(features[:batch], features[partner], weights)[0].shape == (batch, 48)
            assert box is None


@each(MIXES)
def test_a_mix_knows_the_class_proportions_of_its_targets(name):
    mixing, rng = make_mix(name, weight_per="sample"), generator(0, "classes")
    own, partners = np.array([0.7, 0.2, 0.0, 0.1]), np.array([0.1, 0.2, 0.0, 0.7])
    labels, partner_labels = (rng.choice(CLASSES, 400 * 128, p=p) for p in (own, partners))
    shown = shown_targets(mixing, labels, partner_labels, 400)
    proportions = mixing.target_proportions(own, partners if mixing.needs_partners else None)
    assert proportions.sum() == pytest.approx(1)
    assert proportions == pytest.approx(shown, abs=0.01)
    assert (proportions != own).any() == (mixing.needs_partners or "counts" in inspect.signature(MIXES[name]).parameters)


# ---- Heads ----


@each(HEADS)
def test_a_head_turns_features_into_probabilities(name):
    head = HEADS[name]()
    assert head_from_dict(head_to_dict(head)) == head
    torch.manual_seed(0)
    layer = head.layer(6, CLASSES)
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), head.layer(6, CLASSES).parameters(), strict=True))
    features = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    outputs = layer(features)
    assert outputs.shape == (9, head.num_outputs(CLASSES))
    # Whatever the outputs are, they are probabilities.
    for found in (outputs, outputs.sort(dim=1).values, outputs.flip(1) + 3, 100 * torch.randn(outputs.shape)):
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            probabilities = head.probabilities(found.to(dtype))
            assert probabilities.shape == (9, CLASSES)
            assert probabilities.dtype == torch.float32
            assert (probabilities >= 0).all()
            assert torch.allclose(probabilities.sum(1), torch.ones(9), atol=1e-6)
    scores = head.class_scores(outputs)
    assert torch.allclose(scores.softmax(1), head.probabilities(outputs), atol=1e-6)
    # A gradient reaches it, and `reset` gives it weights as at the start.
    torch.nn.functional.cross_entropy(scores, torch.arange(9) % CLASSES).backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
    torch.manual_seed(3)
    head.reset(layer)
    torch.manual_seed(3)
    head.reset(other := head.layer(6, CLASSES))
    torch.manual_seed(3)
    head.reset(other)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), other.parameters(), strict=True))


def test_bad_heads_are_named():
    for content in ({"name": "softmx"}, {}, {"name": "softmax", "scale": 3}):
        with pytest.raises(UsageError, match=f"Expected a head among {', '.join(HEADS)} with its settings, but got"):
            head_from_dict(content)
    with pytest.raises(UsageError, match="Expected `scale` of the cosine head to be above 0, but got 0"):
        head_from_dict({"name": "cosine", "scale": 0})


# ---- Losses ----


def loss_case(loss, batch=12):
    """Return outputs of the loss's head and mixed targets."""
    g = torch.Generator().manual_seed(0)
    outputs = 3 * torch.randn(batch, HEADS[loss.head]().num_outputs(CLASSES), generator=g)
    labels = torch.tensor([0, 1, 3])[torch.randint(3, (batch,), generator=g)]
    others = labels.roll(1)
    return outputs, mix(one_hot(labels, CLASSES), one_hot(others, CLASSES), torch.rand(batch, generator=g))


def sure_of(loss, labels, size):
    """Return outputs by which these classes are predicted, the more surely the larger `size` is."""
    if loss.ordinal:
        return size * (2.0 * (labels[:, None] > torch.arange(CLASSES - 1)) - 1)
    return size * (2 * one_hot(labels, CLASSES) - 1)


@each(LOSSES)
def test_a_loss_is_positive_with_a_finite_gradient(name):
    for loss in (make_loss(name), make_loss(name).train()):
        outputs, targets = loss_case(loss)
        outputs.requires_grad_()
        torch.manual_seed(0)
        value = loss(outputs, targets)
        value.backward()
        assert value.shape == ()
        assert value > 0
        assert outputs.grad.isfinite().all()
        assert outputs.grad.any()
        # What is random in training comes from torch, which a training seeds at each step.
        torch.manual_seed(0)
        assert torch.equal(loss(outputs, targets), value)


@each(LOSSES)
def test_a_loss_is_computed_in_float32(name):
    loss = make_loss(name)
    outputs, targets = loss_case(loss)
    expected = loss(outputs.bfloat16().float(), targets)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(outputs.bfloat16(), targets), expected)


@each(LOSSES)
def test_a_loss_belongs_to_a_head(name):
    loss = make_loss(name)
    head = HEADS[loss.head]()
    assert head.ordinal == loss.ordinal
    assert head.num_outputs(CLASSES) == CLASSES - loss.ordinal
    labels = torch.tensor([0, 1, 3, 2])
    assert torch.equal(head.probabilities(sure_of(loss, labels, 3.0)).argmax(1), labels)


@each(LOSSES)
def test_a_loss_teaches_a_class_prior(name):
    for loss in (make_loss(name), make_loss(name).weighted([1.0, 2.0, 0.0, 5.0])):
        for proportions in (np.array(COUNTS) / 80, np.array([0.4, 0.3, 0.0, 0.3])):
            prior = loss.taught_prior(proportions)
            assert prior.dtype == np.float64
            assert prior.sum() == pytest.approx(1)
            assert (prior[[0, 1, 3]] > 0).all()
            assert prior[2] == 0


@each(LOSSES)
def test_a_weighted_loss_is_the_loss_times_the_weight_of_its_class(name):
    loss, weights = make_loss(name, reduction="none"), torch.tensor([1.0, 2.0, 0.0, 5.0])
    weighted = loss.weighted(weights.numpy())
    outputs, _ = loss_case(loss)
    labels = torch.tensor([0, 1, 3]).repeat(4)
    targets = one_hot(labels, CLASSES)
    assert torch.allclose(weighted(outputs, targets), weights[labels] * loss(outputs, targets))
    assert (weighted.head, weighted.ordinal, weighted.smooths) == (loss.head, loss.ordinal, loss.smooths)
    assert not weighted.state_dict()


@each(LOSSES)
def test_a_class_without_images_changes_no_loss_of_the_others(name):
    """Neither its value for them nor, as nothing is infinite, that any is."""
    loss = make_loss(name)
    outputs, targets = loss_case(loss)
    assert loss(outputs, targets).isfinite()
    if loss.ordinal or "counts" not in inspect.signature(LOSSES[name]).parameters:
        return
    without = LOSSES[name](counts=[n for n in COUNTS if n]).eval()
    outputs[:, 2] = -1e4
    present = [0, 1, 3]
    kept = without(outputs[:, present], targets[:, present])
    assert torch.allclose(loss(outputs, targets), kept, atol=1e-5) or loss.smooths


@each(LOSSES)
def test_a_loss_is_0_for_sure_right_answers_and_large_for_sure_wrong_ones(name):
    loss = make_loss(name)
    labels = torch.tensor([0, 1, 3, 0])
    targets = one_hot(labels, CLASSES)
    values = [loss(sure_of(loss, labels, size), targets).item() for size in (0.0, 1.0, 2.0, 4.0, 50.0)]
    assert loss(sure_of(loss, labels.roll(1), 50.0), targets) > 1 + values[-1]
    if loss.smooths:  # it wants the right answer, but not surely
        assert min(values) < min(values[0], values[-1])
        return
    assert 0 <= values[-1] < 1e-6
    # In between it falls as the right answer becomes surer.
    assert values == sorted(values, reverse=True)


@each(LOSSES)
def test_a_loss_is_the_mean_over_samples_in_any_order(name):
    loss = make_loss(name)
    outputs, targets = loss_case(loss)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    whole = loss(outputs, targets)
    assert torch.allclose(loss(outputs[order], targets[order]), whole)
    single = make_loss(name, reduction="none")(outputs, targets)
    alone = torch.stack([loss(outputs[i : i + 1], targets[i : i + 1]) for i in range(12)])
    # A sample counts by its number of terms, which is 1 for most losses.
    assert torch.allclose(single, alone * loss.terms(targets) / loss.terms(targets).mean())
    assert torch.allclose(single.mean(), whole)
    assert torch.allclose(make_loss(name, reduction="sum")(outputs, targets), single.sum())


@each(LOSSES)
def test_a_loss_is_linear_in_the_targets(name):
    """Given the outputs as it sees them, which a loss with margins moves by the targets."""
    loss = make_loss(name)
    outputs, first = loss_case(loss)
    second = first.roll(5, 0)
    mixed = 0.3 * first + 0.7 * second
    seen = loss.adjusted(outputs, mixed)
    one, other = ((targets * loss.per_class_loss(seen)).sum() / loss.terms(targets).sum() for targets in (first, second))
    assert torch.allclose(loss(outputs, mixed), 0.3 * one + 0.7 * other)


@each(LOSSES)
def test_a_loss_refuses_hard_labels(name):
    with pytest.raises(UsageError, match="Expected `targets` to be soft targets"):
        make_loss(name)(torch.zeros(3, CLASSES - make_loss(name).ordinal), torch.tensor([0, 1, 3]))


@each(LOSSES)
def test_a_loss_leaves_nothing_in_the_checkpoint(name):
    assert not make_loss(name).state_dict()


# ---- Metrics ----


def metric_case(images=60, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.choice(classes, images - classes, p=[0.6, 0.25, 0.1, 0.05])])
    logits = rng.normal(size=(images, classes)) + np.eye(classes)[y]
    return y, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@each(METRICS)
def test_a_metric_is_best_for_a_perfect_prediction(name):
    metric = METRICS[name]
    y, probabilities = metric_case()
    sign = 1 if metric.higher_is_better else -1
    perfect = metric(y, np.eye(4)[y])
    assert perfect == pytest.approx(1 if metric.higher_is_better else 0)
    # All wrong, and the grades turned round.
    wrong = metric(y, np.eye(4)[3 - y])
    assert sign * perfect > sign * metric(y, probabilities) > sign * wrong


@each(METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_a_metric_is_bounded_and_blind_to_the_order_of_images(name, seed):
    y, probabilities = metric_case(seed=seed)
    value = METRICS[name](y, probabilities)
    assert isinstance(value, float)
    assert -1 <= value <= 1
    order = np.random.default_rng(seed).permutation(len(y))
    assert METRICS[name](y[order], probabilities[order]) == pytest.approx(value)


@each(METRICS)
def test_a_metric_takes_arrays_and_tensors(name):
    y, probabilities = metric_case()
    value = METRICS[name](y, probabilities)
    assert METRICS[name](torch.from_numpy(y), torch.from_numpy(probabilities)) == value
    single = probabilities.astype(np.float32)
    assert METRICS[name](torch.from_numpy(y).int(), torch.from_numpy(single)) == METRICS[name](y, single)


@each(METRICS)
def test_a_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.label
    assert metric.__doc__


# ---- Augmentation ----


@each(AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(16, 16), (12, 20)])
def test_an_augmentation_keeps_shape_and_range_and_is_decided_by_its_numbers(name, shape):
    g = torch.Generator().manual_seed(0)
    images = torch.rand(24, 3, *shape, generator=g)
    uniforms = torch.rand(24, N_UNIFORMS, generator=g)
    uniforms[:4] = torch.tensor([0.0, 0.4999, 0.5, 1 - 2**-24])[:, None]
    augmentation = AUGMENTATIONS[name]
    found = augmentation(images, uniforms)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(augmentation(images, uniforms), found)
    changes = augmentation.moves or augmentation.colours
    if not changes:
        assert torch.equal(found, images)
    # The same image with other numbers becomes another one.
    copies = augmentation(images[:1].expand(24, -1, -1, -1), uniforms)
    assert len(torch.unique(copies.flatten(1), dim=0)) == (24 if changes else 1)
    assert make_recipe({"augmentation": name}).augmentation == name


# ---- Recipes ----


@each(RECIPES)
def test_a_recipe_is_valid_and_survives_its_yaml(name, tmp_path):
    recipe = make_recipe({"recipe": name})
    assert recipe.recipe == name
    for key, value in RECIPES[name].items():
        assert recipe.settings()[key] == value
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert make_recipe(load_yaml(path)) == recipe
    # A later layer goes over it.
    assert make_recipe({"recipe": name}, {"epochs": 77}).epochs == 77


# ---- Layout ----

PACKAGE = Path(balanced_mixup.__file__).parent
ORDER = (
    "",
    "sampling",
    "mixing",
    "losses",
    "heads",
    "methods",
    "data",
    "datasets",
    "statistics",
    "training",
    "calibration",
    "runs",
    "evaluation",
    "explain",
    "benchmark",
    "choose",
    "report",
    "figures",
    "paper",
    "cli",
)
EVERYWHERE = {"balanced_mixup.errors", "balanced_mixup.progress"}


@cache
def imports_of(path, everywhere=True):
    """Return the names that a file imports when it runs, those for type checkers left out.

    everywhere: Those inside of functions too; else those that are imported together with it.
    """
    found = set()
    package = ".".join(["balanced_mixup", *path.relative_to(PACKAGE).parent.parts])

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes = node.orelse
        elif isinstance(node, ast.FunctionDef) and not everywhere:
            return
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
            return
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            # `from package import module` imports the module.
            found.update(f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names)
            return
        else:
            nodes = ast.iter_child_nodes(node)
        for child in nodes:
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {name for name in found if name.split(".")[0] == "balanced_mixup"}


def is_module(name):
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def layer(name):
    """Return the place of a module in the order of layers: by its folder, or its own name; the other files at the top are 0."""
    parts = name.split(".")[1:]
    return ORDER.index(parts[0]) if parts and ((PACKAGE / parts[0]).is_dir() or parts[0] in ORDER) else 0


FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def module_name(file):
    return f"balanced_mixup.{file.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")


def circles(graph):
    """Return the strongly connected components of more than one node of a graph {node: nodes} (Tarjan 1972)."""
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            component = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(component)

    for node in graph:
        if node not in number:
            visit(node)
    return found


def test_no_files_import_each_other_in_a_circle():
    graph = {module_name(name): imports_of(PACKAGE / name, everywhere=False) for name in FILES}
    assert sum(map(len, graph.values())) > 400
    assert circles(graph) == []
    assert circles({1: {2}, 2: {3}, 3: {2, 4}, 4: {5}, 5: {4}, 6: {1}}) == [{4, 5}, {2, 3}]  # the test can see one


@each(FILES)
def test_imports_go_one_way(name):
    module = module_name(name)
    imported = imports_of(PACKAGE / name)
    assert all(is_module(other) for other in imported)
    if module in EVERYWHERE:
        assert not imported
    upwards = {other for other in imported - EVERYWHERE if layer(other) > layer(module)}
    assert not upwards, f"{module} imports {', '.join(sorted(upwards))}"
    # The public names are a door to all layers.
    assert "balanced_mixup" not in imported or layer(module) == layer("balanced_mixup.cli")


def test_imports_are_seen_where_they_are():
    # The tests above would pass if they saw nothing.
    seen = {name: imports_of(PACKAGE / name) for name in FILES}
    assert "balanced_mixup.randomness" in seen["sampling.py"]
    assert "balanced_mixup.mixing" in seen["methods/base.py"]  # inside of a function
    assert "balanced_mixup.mixing" not in imports_of(PACKAGE / "methods/base.py", everywhere=False)
    assert "balanced_mixup.errors" in seen["data/batches.py"] | seen["data/checks.py"]
    assert "balanced_mixup.metrics" in seen["training/module.py"]
    assert not seen["__init__.py"]  # for type checkers only
    names = ("metrics", "sampling", "mixing.base", "heads", "methods", "data.batches", "cli", "cli.train")
    expected = [0, *map(ORDER.index, ("sampling", "mixing", "heads", "methods", "data", "cli", "cli"))]
    assert [layer(f"balanced_mixup.{name}") for name in names] == expected
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(ORDER)


CHEAP = """
import sys
def loaded(*names):
    return sorted(name for name in names if name in sys.modules)

import balanced_mixup
heavy = "lightning", "timm", "pandas", "sklearn", "scipy", "pyarrow", "torchvision", "pydantic", "matplotlib", "PIL"
print("package", *loaded("torch", *heavy))
dir(balanced_mixup), list(balanced_mixup.METHODS)
print("methods", *loaded("torch", *heavy))
import balanced_mixup.sampling, balanced_mixup.metrics, balanced_mixup.heads
from balanced_mixup.mixing import *
from balanced_mixup.losses import *
print("paper", *loaded(*heavy))
import balanced_mixup.cli.flags
print("flags", *loaded(*heavy))
"""


def test_importing_the_package_costs_no_more_than_torch():
    out = subprocess.run([sys.executable, "-c", CHEAP], capture_output=True, text=True, check=True).stdout
    # Importing the package and listing the methods needs not even torch; the paper's five files need torch and numpy alone.
    # A method's settings are fields of pydantic's.
    assert out.splitlines() == ["package", "methods pydantic", "paper pydantic", "flags pydantic"]


def names_defined_in(path):
    """Return the names that a file defines at its top level."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return found


def test_public_names_are_there_for_programs_and_for_type_checkers():
    assert dir(balanced_mixup) == sorted(balanced_mixup.__all__)
    source = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname: node.module
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("balanced_mixup.")
        for alias in node.names
    }
    assert set(typed) == set(balanced_mixup.__all__)
    for name, module in typed.items():
        homes = {**balanced_mixup._MODULE_OF, **balanced_mixup._CALLABLE}
        assert f"balanced_mixup.{homes[name]}" == module
        home = PACKAGE.parent / (module.replace(".", "/") + ".py")
        if home.is_file():
            assert name in names_defined_in(home)
        # Only what the paper needs is imported here; the others take seconds.
        if module.count(".") == 1:
            assert getattr(balanced_mixup, name) is getattr(sys.modules[module], name)
    for name, home in balanced_mixup._CALLABLE.items():
        package = getattr(balanced_mixup, name)
        assert package.__name__ == f"balanced_mixup.{name}"  # whatever has been imported from it
        assert inspect.signature(package) == inspect.signature(getattr(importlib.import_module(f"balanced_mixup.{home}"), name))
    assert balanced_mixup.mix is mix
    with pytest.raises(AttributeError, match="module 'balanced_mixup' has no attribute 'BalancedMixup'"):
        _ = balanced_mixup.BalancedMixup


@pytest.mark.parametrize("package", [losses, mixing], ids=["losses", "mixing"])
def test_packages_of_parts_export_the_same_to_programs_and_to_type_checkers(package):
    source = Path(package.__file__).read_text(encoding="utf-8")
    typed = {line.rpartition(" as ")[2].strip() for line in source.splitlines() if " import " in line and " as " in line}
    assert typed == set(package.__all__)
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = package.Nothing
