"""One definition behind flags, YAML and keywords; every mistake is named, all at once."""

from pathlib import Path

import pytest
import yaml

from balanced_mixup.errors import UsageError
from balanced_mixup.methods import METHODS, BalancedMixUp, FocalLoss, Instance, MixUp
from balanced_mixup.training.recipe import RECIPE_SUMMARIES, RECIPES, Recipe, load_yaml, make_recipe

LEGACY = Path(__file__).parents[1] / "legacy"


class Other(FocalLoss):
    """One that somebody changed and did not register."""


def test_later_layers_go_over_earlier_ones_and_over_the_named_recipe():
    recipe = make_recipe({"recipe": "paper", "size": 256, "alpha": 0.1}, {"alpha": 0.3})
    assert (recipe.optimizer, recipe.batch_size, recipe.size) == ("sgd", 8, 256)
    assert recipe.method == BalancedMixUp(alpha=0.3, weight_per="batch")


def test_paper_recipe_is_the_papers():
    paper = make_recipe({"recipe": "paper"})
    assert (paper.optimizer, paper.learning_rate, paper.momentum, paper.weight_decay) == ("sgd", 0.01, 0, 0)
    assert (paper.batch_size, paper.size, paper.epochs, paper.backbone) == (8, 512, 30, "mobilenetv2_100")
    assert (paper.schedule, paper.augmentation, paper.method.weight_per) == ("cyclic", "paper", "batch")
    assert make_recipe({"recipe": "paper", "method": "mixup"}).method.weight_per == "batch"
    assert make_recipe({"recipe": "paper", "method": "instance"}).method == Instance()


def test_yaml_round_trip(tmp_path):
    recipe = make_recipe({"classes": "b,a", "label_map": {"x": "a"}, "images": tmp_path, "patience": 3})
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert make_recipe(load_yaml(tmp_path / "recipe.yaml")) == recipe
    assert yaml.safe_load(recipe.to_yaml())["classes"] == ["b", "a"]


def test_recipes_of_older_versions_keep_their_splits(tmp_path):
    recipe = make_recipe({"data": "x.csv", "method": "focal", "gamma": 1.0})
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    settings = load_yaml(tmp_path / "recipe.yaml")
    assert (settings["format"], settings["split_version"]) == (3, 2)
    del settings["split_version"]
    older = make_recipe({**settings, "format": 2})
    assert older == recipe.model_copy(update={"split_version": 1})
    assert make_recipe(load_yaml(LEGACY / "finished/recipe.yaml")).split_version == 1  # of format 1, without a number
    (tmp_path / "recipe.yaml").write_text(older.to_yaml())
    assert make_recipe(load_yaml(tmp_path / "recipe.yaml")) == older
    assert make_recipe({**settings, "format": 2, "split_version": 2}) == recipe
    assert make_recipe({"data": "x.csv", "alpha": 0.3}).split_version == 2  # somebody's own settings


def test_a_number_stands_for_its_name(tmp_path):
    (tmp_path / "recipe.yaml").write_text("precision: 32")
    assert make_recipe(load_yaml(tmp_path / "recipe.yaml")).precision == "32"


def test_every_named_recipe_has_a_summary():
    assert list(RECIPES) == list(RECIPE_SUMMARIES)


def test_every_setting_is_described():
    assert [name for name, field in Recipe.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alhpa": 1}, r"Unknown setting `alhpa`\. Did you mean 'alpha'\?"),
        ({"method": "balanced"}, r"Expected `method` to be one of class, .*, but got 'balanced'\. Did you mean"),
        ({"recipe": "papr"}, r"Expected `recipe` to be one of default, paper, but got 'papr'\. Did you mean 'paper'\?"),
        ({"augmentation": "papper"}, r"Expected `augmentation` to be one of .* Did you mean 'paper'\?"),
        ({"monitor": "kappa"}, r"Expected `monitor` to be one of quadratic_kappa"),
        ({"alpha": 0}, r"Expected `alpha` to be greater than 0, but got 0\."),
        ({"learning_rate": float("inf")}, r"Expected `learning_rate` to be a finite number, but got inf\."),
        ({"method": "focal", "gamma": float("nan")}, r"Expected `gamma` to be a finite number, but got nan\."),
        ({"method": "focal", "alpha": 0.2}, r"`alpha` is a setting of mixup, .* and .*, not of the method focal\."),
        ({"gamma": 2}, r"`gamma` is a setting of focal, not of the method balanced-mixup\."),
        ({"method": "focal", "gama": 2}, r"Unknown setting `gama`\. Did you mean 'gamma'\?"),
        (
            {"method": Other()},
            "Other is not the method that is registered as 'focal': give it another name",
        ),
        ({"format": 99}, "The recipe has the format 99, and this version .* reads up to 3: .* Upgrade balanced-mixup"),
        ({"split_version": 3}, r"Expected `split_version` to be less than or equal to 2, but got 3\."),
        ({"size": 8}, r"Expected `size` to be greater than or equal to 32, but got 8\."),
        ({"epochs": "many"}, r"Expected `epochs` to be a valid integer.*but got 'many'\."),
        ({"optimizer": "adam"}, r"Expected `optimizer` to be 'adamw' or 'sgd', but got 'adam'\."),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, r"Expected `val_fraction` \+ `test_fraction` to leave more than a tenth"),
        ({"val_fraction": 0}, r"Expected `val_fraction` to be greater than 0, but got 0\."),
    ],
)
def test_mistakes(settings, message):
    with pytest.raises(UsageError, match=message):
        make_recipe(settings)


def test_numbers_and_paths_stand_for_their_text(tmp_path):
    recipe = make_recipe({"data": tmp_path, "classes": [0, 1, 3], "label_map": {2: 3}})
    assert (recipe.data, recipe.classes, recipe.label_map) == (str(tmp_path), ("0", "1", "3"), {"2": "3"})


def test_all_mistakes_at_once():
    with pytest.raises(UsageError) as error:
        make_recipe({"alpha": -1, "epochs": 0, "metod": "class", "gamma": 2})
    for name in ("`alpha`", "`epochs`", "`metod`", "`gamma`"):
        assert name in str(error.value)
    with pytest.raises(UsageError) as error:
        make_recipe({"epochs": 0, "method": "nothing"})
    for name in ("`epochs`", "`method`"):
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "to be YAML"), ("- a\n- b\n", "`key: value`, but got a list"), (None, "to be a readable YAML file")],
)
def test_bad_yaml(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_yaml(path)


def test_empty_yaml_sets_nothing(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    assert load_yaml(tmp_path / "config.yaml") == {}


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "size: 64\nepochs: 2\nsize: 96\n",
            r"the key 'size' is repeated, after line 1; remove one of the two\s+in .*, line 3",
        ),
        ("a: {b: 1, b: 2}\n", "the key 'b' is repeated, after line 1"),
        ("a: &x [*x]\n", "to be YAML, but: the value contains itself"),
        ("a: &x {b: *x}\n", "to be YAML, but: the value contains itself"),
        ("a: !!binary aGVsbG8=\n", r"the YAML tag 'tag:yaml.org,2002:binary'"),
        ("a: !!set {b}\n", r"the YAML tag 'tag:yaml.org,2002:set'"),
        ("a: " + 2000 * "[" + 2000 * "]", "to be YAML, but: maximum recursion depth exceeded"),
    ],
)
def test_yaml_that_means_no_settings(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_yaml(tmp_path / "mine.yaml")


def test_dates_and_merged_mappings(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: 2024-13-45\nb: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}\n")
    assert load_yaml(tmp_path / "mine.yaml") == {"a": "2024-13-45", "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


# ---- Methods as objects, and what older versions wrote ----


def test_a_method_is_an_object_or_a_name_with_its_settings():
    method = MixUp(alpha=0.3)
    recipe = make_recipe({"method": method, "epochs": 3})
    assert recipe.method == method
    assert recipe == make_recipe({"method": "mixup", "alpha": 0.3, "epochs": 3})
    assert make_recipe({"method": method}, {"alpha": 0.5}).method == MixUp(alpha=0.5)
    assert recipe.settings()["method"] == "mixup"
    assert recipe.settings()["alpha"] == 0.3


OLD = {"alpha": 0.3, "weight_per": "batch", "focal_gamma": 1.0, "cb_beta": 0.9, "weight_average": 0.5, "epochs": 2}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("balanced-mixup", {"alpha": 0.3, "weight_per": "batch"}),
        ("mixup", {"alpha": 0.3, "weight_per": "batch"}),
        ("focal", {"gamma": 1.0}),
        ("cb-loss", {"beta": 0.9}),
        ("instance", {}),
    ],
)
def test_recipes_of_older_versions_held_the_settings_of_all_methods(method, settings, tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"method": method, **OLD}))
    recipe = make_recipe(load_yaml(tmp_path / "recipe.yaml"))
    assert recipe.method == METHODS[method](**settings)
    assert (recipe.ema_decay, recipe.epochs) == (0.5, 2)
    assert make_recipe(OLD).method == BalancedMixUp(alpha=0.3, weight_per="batch")  # one that does not name its method


def test_older_names_are_read():
    assert make_recipe({"method": "focal", "focal_gamma": 0.5}).method.gamma == 0.5
    assert make_recipe({"method": "cb-loss", "cb_beta": 0.5}).method.beta == 0.5
    assert make_recipe({"weight_average": 0}).ema_decay == 0
