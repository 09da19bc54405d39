"""What a run is: what was said about it. New settings with defaults change nothing, new values and other data do."""

from typing import Literal

import pytest
from pydantic import Field

from balanced_mixup.methods import METHODS, BalancedMixUp, FocalLoss, Instance
from balanced_mixup.runs.identity import base_identity, identity
from balanced_mixup.training.recipe import Recipe, make_recipe


def test_identities_are_for_ever():
    """If one of these changes, everybody's benchmark trains again: raise `identity.FORMAT`, or better do not."""
    assert {
        "default": identity(make_recipe(), "data"),
        "paper": identity(make_recipe({"recipe": "paper", "method": "focal", "gamma": 1.0}), "data"),
    } == {"default": "f7cb8242448288f6", "paper": "564e321efa9496f2"}


def test_a_new_setting_with_a_default_changes_no_identity():
    class Longer(Recipe):
        label_smoothing: float = 0.0
        tricks: tuple[str, ...] = ()

    recipe = make_recipe({"data": "x.csv", "epochs": 3, "method": "mixup", "alpha": 0.5})
    longer = Longer(**{name: getattr(recipe, name) for name in recipe.model_fields_set})
    assert identity(longer, "data") == identity(recipe, "data")
    assert identity(longer.model_copy(update={"label_smoothing": 0.1}), "data") != identity(recipe, "data")


def test_a_new_setting_of_a_method_with_a_default_changes_no_identity():
    class Longer(BalancedMixUp):
        warm_up: float = Field(0.0, description="Not there yet.")

    def of(method):
        return identity(make_recipe().model_copy(update={"method": method}), "data")

    assert of(Longer(alpha=0.3)) == of(BalancedMixUp(alpha=0.3))
    assert of(Longer(alpha=0.3, warm_up=0.5)) != of(BalancedMixUp(alpha=0.3))


def test_a_new_value_and_other_data_do():
    recipes = [make_recipe(), make_recipe({"epochs": 3}), make_recipe({"alpha": 0.3}), make_recipe({"seed": 1})]
    recipes += [make_recipe({"method": name}) for name in METHODS if name != "balanced-mixup"]
    found = {identity(recipe, data) for recipe in recipes for data in ("data", "other")}
    assert len(found) == 2 * len(recipes)


def test_saying_a_default_is_saying_nothing():
    said = make_recipe({"alpha": 0.2, "epochs": 12, "method": "balanced-mixup", "recipe": "default"})
    assert identity(said, "data") == identity(make_recipe(), "data")


def test_places_and_machines_are_not_part_of_it(tmp_path):
    elsewhere = {"data": "y.csv", "images": tmp_path, "accelerator": "cpu", "cache": "ram", "logger": "wandb", "devices": 2}
    elsewhere |= {"max_megapixels": 400, "bit_depth": 12}  # the bit depth is part of the images' digests
    elsewhere |= {"split_version": 1}  # and the split of the data's fingerprint
    assert identity(make_recipe(elsewhere), "data") == identity(make_recipe({"data": "x.csv"}), "data")


def test_a_base_is_identified_as_its_own_run_is(staged):
    recipe = make_recipe({"method": "retrained-test", "head_epochs": 5, "epochs": 3})
    plain = identity(make_recipe({"method": "instance", "epochs": 3}), "data")
    assert base_identity(recipe, "data") == plain
    assert base_identity(make_recipe({"method": "normalised-test", "epochs": 3}), "data") == plain
    assert base_identity(make_recipe({"method": "chain-test", "epochs": 3}), "data") != plain
    assert base_identity(make_recipe({"method": "instance"}), "data") is None
    assert base_identity(recipe, "other") != plain


@pytest.mark.parametrize("method", [Instance(), FocalLoss(gamma=0.5)])
def test_a_method_is_identified_by_its_name_and_settings_however_it_was_given(method):
    named = make_recipe({"method": method.name, **method.settings()})
    assert identity(make_recipe({"method": method}), "data") == identity(named, "data")


def test_a_name_is_part_of_it():
    class Renamed(Instance):
        name: Literal["renamed"] = "renamed"

    update = make_recipe().model_copy(update={"method": Renamed()})
    assert identity(update, "data") != identity(make_recipe({"method": "instance"}), "data")
