"""Deferred re-weighting and re-sampling over any method: when it begins, what it changes, and where it is refused."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from balanced_mixup.benchmark.variants import method_variants
from balanced_mixup.errors import UsageError
from balanced_mixup.losses import effective_number_weights
from balanced_mixup.methods import METHODS, BalancedMixUp, Cmo, Instance, MixUp, SqrtSampling, TrainSet
from balanced_mixup.mixing import one_hot
from balanced_mixup.runs.identity import identity
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.segments import segments_of

COUNTS = np.array([300, 60, 0, 12])


def stages_of(method, epochs=10):
    """Return the stages of a training of one segment, by their first epochs."""
    labels = np.repeat(np.arange(4), COUNTS)
    (segment,) = segments_of(method, TrainSet(labels, 4, epochs, 0))
    assert segment.end == epochs
    return dict(segment.stages)


@pytest.mark.parametrize(
    ("epochs", "share", "at"), [(10, 0.8, 8), (12, 0.8, 10), (5, 0.5, 2), (2, 0.8, 1), (3, 0.01, 0), (1, 0.8, 0), (10, 0.99, 9)]
)
def test_it_begins_after_its_share_of_the_epochs_and_has_one_at_least(epochs, share, at):
    firsts = list(stages_of(Instance(defer="drs", defer_from=share), epochs))
    assert firsts == ([0, at] if at else [0])


def test_drw_weighs_the_loss_by_effective_number():
    stages = stages_of(Instance(defer="drw"))
    weights = effective_number_weights(COUNTS, 0.9999)
    assert weights.sum() == pytest.approx(3)  # over the classes that there are
    outputs, targets = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)), one_hot(torch.arange(4), 4)
    plain, weighted = (-torch.log_softmax(outputs, 1).diag(), stages[8].loss(outputs, targets))
    assert weighted.item() == pytest.approx((plain * torch.from_numpy(weights)).mean().item(), rel=1e-5)
    assert stages[0].loss(outputs, targets).item() == pytest.approx(plain.mean().item(), rel=1e-6)
    assert [stage.name for stage in stages.values()] == ["train", "drw"]


def test_drs_draws_by_class_with_the_same_mix_and_partners():
    stages = stages_of(BalancedMixUp(alpha=0.3, defer="drs"))
    assert stages[8].mix == stages[0].mix
    assert (stages[8].partners.rows(8, np.arange(50)) == stages[0].partners.rows(8, np.arange(50))).all()
    assert stages[8].branch.class_probabilities(COUNTS, 8) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert stages[0].branch.class_probabilities(COUNTS, 8) == pytest.approx(COUNTS / COUNTS.sum())
    assert type(stages[8].loss) is type(stages[0].loss)


@pytest.mark.parametrize("method", [Instance, MixUp, BalancedMixUp, SqrtSampling])
@pytest.mark.parametrize("kind", ["drw", "drs"])
def test_at_the_end_all_classes_count_alike(method, kind):
    """Whatever the method has shown before: with Balanced-MixUp the rare classes do not count more than the frequent ones."""
    last = stages_of(method(defer=kind))[8]
    assert last.class_prior(COUNTS, range(8, 10)) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.01)


def test_it_cuts_the_stages_of_a_method_where_they_are():
    assert list(stages_of(Cmo(), 12)) == [0, 3, 9]
    deferred = stages_of(Cmo(defer="drw", defer_from=0.5), 12)
    assert [(first, stage.name) for first, stage in deferred.items()] == [(0, "start"), (3, "boxes"), (6, "drw"), (9, "drw")]
    assert type(deferred[6].mix) is type(deferred[3].mix) is not type(deferred[9].mix)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["drw", "drs"])
def test_every_method_takes_it_or_says_why_not(name, kind):
    try:
        method = METHODS[name](defer=kind)
    except ValidationError as error:
        assert f"The method {name} cannot be combined with `defer`: it" in str(error)
        return
    last = segments_of(method, TrainSet(np.repeat(np.arange(4), COUNTS), 4, 10, 0))[-1]
    assert last.stages[-1][1].name == kind


@pytest.mark.parametrize("name", ["class", "cb-loss", "progressive", "bbn-mix", "unimix"])
def test_it_is_refused_where_classes_count_alike_already(name):
    with pytest.raises(UsageError, match=f"The method {name} cannot be combined with `defer`: it teaches rare"):
        make_recipe({"method": name, "defer": "drw"})


def test_it_is_refused_where_rare_classes_would_count_more():
    with pytest.raises(UsageError, match="class-weights cannot be combined with `defer`: it weighs rare classes by itself"):
        make_recipe({"method": "class-weights", "weighting": "sqrt", "defer": "drw"})


def test_it_is_refused_where_a_method_has_no_epochs_of_its_own_or_trains_the_head_alone(staged):
    with pytest.raises(UsageError, match="retrained-test cannot be combined with `defer`: its last stage trains the"):
        make_recipe({"method": "retrained-test", "defer": "drs"})
    with pytest.raises(UsageError, match=r"normalised-test .*: it has no epochs of its own, after those of instance"):
        make_recipe({"method": "normalised-test", "defer": "drs"})


def test_it_is_a_setting_of_objects_files_and_variants():
    recipe = make_recipe({"method": BalancedMixUp(alpha=0.3), "defer": "drw"})
    assert recipe.method == BalancedMixUp(alpha=0.3, defer="drw")
    assert make_recipe({"method": "balanced-mixup", "alpha": 0.3, "defer": "drw", "defer_from": 0.8}) == recipe
    assert identity(recipe, "data") != identity(make_recipe({"alpha": 0.3}), "data")
    variants = method_variants([{"method": "mixup", "defer": ["drw", "drs"]}, "mixup"])
    assert [variant.label for variant in variants] == ["mixup defer=drw", "mixup defer=drs", "mixup"]
    with pytest.raises(UsageError, match=r"Expected `defer` to be 'drw' or 'drs', but got 'drx'"):
        make_recipe({"defer": "drx"})
    with pytest.raises(UsageError, match=r"Expected `defer_from` to be less than 1, but got 1"):
        make_recipe({"defer_from": 1.0})
