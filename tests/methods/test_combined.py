"""Free combinations: each part is that of the method of its name, and nonsense is refused."""

import itertools
from typing import get_args

import numpy as np
import pytest

from balanced_mixup import losses
from balanced_mixup.benchmark.variants import method_variants
from balanced_mixup.errors import UsageError
from balanced_mixup.losses import Focal
from balanced_mixup.methods import METHODS, Combined, Instance, TrainSet
from balanced_mixup.methods.combined import LOSSES, MIXES, SAMPLINGS
from balanced_mixup.mixing import CutMix, NoMix
from balanced_mixup.training.recipe import make_recipe

COUNTS = np.array([100, 30, 0, 5])
DATA = TrainSet(np.repeat(np.arange(4), COUNTS), 4, 12, 0)


def stage_of(method):
    (stage,) = method.stages(DATA)
    return stage


def test_parts_given_without_a_method_are_combined():
    recipe = make_recipe({"sampling": "class", "mix": "cutmix", "loss": "focal"})
    assert recipe.method == Combined(sampling="class", mix="cutmix", loss="focal")
    stage = stage_of(recipe.method)
    assert (stage.mix, type(stage.loss)) == (CutMix(1.0, "sample"), Focal)
    assert stage.branch.class_probabilities(COUNTS, 0) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert make_recipe({"method": Combined(mix="mixup")}).method.mix == "mixup"
    assert make_recipe({"loss": "focal", "recipe": "paper"}).method == Combined(loss="focal")
    assert make_recipe({"mix": "remix", "defer": "drs"}).method == Combined(mix="remix", defer="drs")


def test_every_part_can_be_named_and_is_that_of_its_method():
    fields = Combined.model_fields
    assert set(get_args(fields["sampling"].annotation)) == set(SAMPLINGS)
    assert set(get_args(fields["mix"].annotation)) == set(MIXES)
    assert set(get_args(fields["loss"].annotation)) == set(LOSSES)
    for name in SAMPLINGS:
        own, other = stage_of(Combined(sampling=name)).branch, METHODS[name]().stages(DATA)[0].branch
        assert (own.rows(3, np.arange(40)) == other.rows(3, np.arange(40))).all()
    for name in set(MIXES) - {"none"}:
        stage = stage_of(Combined(mix=name))
        (other,) = (stage for stage in METHODS[name]().stages(DATA) if not isinstance(stage.mix, NoMix))
        assert type(stage.mix) is type(other.mix)
        assert str(settings_of(stage.mix)) == str(settings_of(other.mix))
        if other.partners is not None:
            assert (stage.partners.rows(0, np.arange(40)) == other.partners.rows(0, np.arange(40))).all()
    for name in LOSSES:
        method = Combined(loss=name)
        known = METHODS.get(name, Instance)()
        loss, head = known.stages(DATA)[0].loss, known.head()
        assert type(stage_of(method).loss) is type(loss)
        assert method.head() == head
    exported = {item for name in losses.__all__ if isinstance(item := getattr(losses, name), type)}
    assert {type(make(DATA)) for make in LOSSES.values()} == exported - {losses.Loss}


def settings_of(mix):
    return dict(sorted(vars(mix).items()))


def test_what_balances_the_classes_twice_is_refused():
    refused = set()
    for sampling, mix, loss in itertools.product(SAMPLINGS, MIXES, ("cross-entropy", "logit-adjusted", "cb-loss")):
        try:
            Combined(sampling=sampling, mix=mix, loss=loss)
        except ValueError as error:
            assert f"The sampling {sampling}, the mix {mix} and the loss {loss} balance the classes more than" in str(error)
            refused.add((sampling, mix, loss))
    assert {("class", "none", "logit-adjusted"), ("sqrt", "cutmix", "cb-loss")} <= refused
    assert {("class", "bbn-mix", "cross-entropy"), ("progressive", "none", "logit-adjusted")} <= refused
    # Plain sampling with a balancing loss is the usual thing, and so are balanced samples with cross-entropy.
    assert ("instance", "mixup", "logit-adjusted") not in refused
    assert ("class", "remix", "cross-entropy") not in refused
    assert ("instance", "unimix", "logit-adjusted") not in refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "focl"}, r"Expected `loss` to be 'cross-entropy', 'focal', .*, but got 'focl'"),
        ({"mix": "cutmx"}, r"Expected `mix` to be 'none', 'mixup', .*, but got 'cutmx'"),
        ({"sampling": "clas"}, r"Expected `sampling` to be 'instance', 'class', .*, but got 'clas'"),
        ({"method": "focal", "mix": "cutmix"}, r"`mix` is a setting of combined, not of the method focal"),
        ({"mix": "cutmix", "alpha": 0.3}, r"`alpha` is a setting of .*, not of the method combined"),
    ],
)
def test_mistakes(settings, message):
    with pytest.raises(UsageError, match=message):
        make_recipe(settings)


def test_combinations_are_variants_of_a_plan():
    variants = method_variants([{"method": "combined", "sampling": "class", "loss": ["focal", "cross-entropy"]}])
    assert [variant.label for variant in variants] == [
        "combined sampling=class loss=focal",
        "combined sampling=class loss=cross-entropy",
    ]
