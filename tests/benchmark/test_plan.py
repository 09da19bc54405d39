"""Plans: what a YAML file means, and every mistake in it named at once."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from balanced_mixup.benchmark.plan import load_plan, make_plan, plan_yaml
from balanced_mixup.benchmark.protocols import PROTOCOLS, divide
from balanced_mixup.benchmark.runs import expand
from balanced_mixup.benchmark.variants import method_variants
from balanced_mixup.data.folds import write_split
from balanced_mixup.data.preparation import prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import UsageError
from balanced_mixup.methods import BalancedMixUp, Instance, MixUp
from balanced_mixup.training.recipe import make_recipe


@pytest.fixture
def content(blobs):
    return {
        "data": {"blobs": {"data": str(blobs / "labels.csv"), "group_column": "patient"}},
        "methods": ["instance", {"method": "balanced-mixup", "alpha": [0.1, 0.2]}],
        "backbones": ["test_efficientnet"],
        "folds": 3,
        "settings": {"size": 32, "epochs": 1, "batch_size": 8, "weights": "none"},
    }


class TestMethods:
    def test_lists_are_multiplied_out(self, content):
        content["methods"] = [{"method": "balanced-mixup", "alpha": [0.1, 0.3], "weight_per": ["batch", "sample"]}, "instance"]
        cells = method_variants(make_plan(content).methods)
        assert [cell.label for cell in cells] == [
            "balanced-mixup alpha=0.1 weight_per=batch",
            "balanced-mixup alpha=0.1 weight_per=sample",
            "balanced-mixup alpha=0.3 weight_per=batch",
            "balanced-mixup alpha=0.3 weight_per=sample",
            "instance",
        ]
        assert cells[2].settings == {"method": "balanced-mixup", "alpha": 0.3, "weight_per": "batch"}

    def test_a_setting_for_all_goes_to_the_methods_that_have_it(self, content, tmp_path):
        content["methods"] = ["instance", "mixup", {"method": "balanced-mixup", "alpha": 0.5}]
        content["settings"] |= {"alpha": 0.3, "weight_per": "batch", "focal_gamma": 1.0, "cb_beta": 0.9, "weight_average": 0}
        runs = expand(make_plan(content), tmp_path, {}).runs[:3]
        recipes = [make_recipe(run.settings) for run in runs]
        assert [recipe.method for recipe in recipes] == [
            Instance(),
            MixUp(alpha=0.3, weight_per="batch"),
            BalancedMixUp(alpha=0.5, weight_per="batch"),
        ]
        assert {recipe.ema_decay for recipe in recipes} == {0}

    def test_a_label_stands_for_what_it_names(self, content):
        content["methods"] = ["instance", {"label": "mine", "method": "balanced-mixup", "alpha": [0.1, 0.2], "epochs": 2}]
        assert [cell.label for cell in method_variants(make_plan(content).methods)] == [
            "instance",
            "mine alpha=0.1",
            "mine alpha=0.2",
        ]


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"methods": ["instance", "balanced-mixupp"]},
            "Expected `method` to be one of .*, but got 'balanced-mixupp'. Did you mean 'balanced-mixup'",
        ),
        ({"methods": []}, "Expected `methods` of the plan to name at least one, but it is empty"),
        ({"data": {}}, "Expected `data` of the plan to name at least one"),
        ({"backbones": []}, "Expected `backbones` of the plan to name at least one"),
        ({"methods": ["instance", "instance"]}, "`methods` of the plan names 'instance' 2 times: the runs would be the same"),
        ({"seeds": [1, 1]}, "`seeds` of the plan names 1 2 times"),
        (
            {"methods": ["instance", {"label": "again", "method": "instance"}]},
            "'instance' and 'again' of the plan are the same training",
        ),
        (
            {
                "methods": [
                    "instance",
                    {"label": "again", "method": "mixup"},
                    {"label": "twice", "method": "mixup", "alpha": 0.2},
                ]
            },
            "'again' and 'twice' of the plan are the same training",
        ),
        (
            {"methods": ["instance", {"method": "class", "alpha": 0.9}]},
            r"`alpha` is a setting of mixup, .* and .*, not of the method class\.",
        ),
        (
            {"settings": {"gamma": 1.0}},
            "Expected `settings` without `gamma`, which is a setting of focal: no method of the plan has it",
        ),
        (
            {"methods": ["instance", {"method": "mixup", "alfa": 0.1}]},
            "Unknown setting `alfa` of the method mixup. Did you mean 'alpha'",
        ),
        ({"methods": ["class"]}, "Expected `baseline` to be one of class, but got 'instance'"),
        ({"metrics": ["kapa"]}, "Expected `metrics` of the plan to be among .*, but got 'kapa'"),
        ({"settings": {"epochs": 0}}, "Expected `epochs` to be greater than or equal to 1"),
        ({"settings": {"seed": 3}}, "Expected `settings` of the plan without `seed`"),
        (
            {"methods": ["instance", {"method": "mixup", "alpha": []}]},
            "Expected at least one value of `alpha` in the method mixup",
        ),
        (
            {"methods": ["instance", {"method": "class", "seed": 7}]},
            "Expected no `seed` in the method class: it is the same for all",
        ),
        ({"methods": ["instance", {"method": "class", "split_file": "x.csv"}]}, "Expected no `split_file` in the method class"),
        ({"data": {"a/b": "x.csv", "a b": "y.csv"}}, "that give different folder names, but got 'a/b' and 'a b'"),
        ({"data": {"..": "x.csv"}}, "Expected names of data that are valid folder names"),
        ({"setings": {}}, "Unknown key `setings` in the plan. Did you mean 'settings'"),
        ({"folds": 1}, "Expected `folds` to be greater than or equal to 2"),
        ({"protocol": "best"}, "Expected `protocol` to be 'honest' or 'paper', but got 'best'"),
        ({"methods": [3]}, r"^Expected each of `methods` to be a name or a mapping such as .*, but got 3\.$"),
        ({"methods": [["instance"]]}, r"^Expected each of `methods` to be a name or a mapping .*, but got \['instance'\]\.$"),
        ({"methods": ["instance", {"method": "class", 3: 4}]}, "Unknown setting `3` of the method class"),
        (
            {"methods": ["instance", {"method": "class", "label": ["a"]}]},
            r"Expected `label` .* a single line of text, but got \['a'\]",
        ),
        (
            {"methods": ["instance", {"method": "class", "label": "a\nb"}]},
            r"Expected `label` .* a single line of text, but got 'a\\nb'",
        ),
        ({"methods": ["instance", {"method": "class", "label": ""}]}, "Expected `label` .* a single line of text, but got ''"),
        ({"methods": ["instance", {"method": "class", "label": "x" * 200}]}, "data, method and backbone of at most 200 bytes"),
        ({"data": {"x" * 300: "x.csv"}}, "Expected names of data that are valid folder names, in one line, not too long"),
        ({"data": {"a\nb": "x.csv"}}, "Expected names of data that are valid folder names, in one line"),
        ({"data": {"skin": 3}}, r"^Expected each of `data` to be a path or a mapping of settings, but got 3\.$"),
        ({"settings": {3: 4}}, "Unknown setting `3`"),
        ({"seeds": [-1]}, "to be greater than or equal to 0, but got -1"),
        (
            {"data": {"skin": {"data": "x.csv", "fold_column": "fold", "scheme": "given"}}},
            "Expected `fold_column` or `scheme: given` in the data 'skin', but got both",
        ),
    ],
)
def test_bad_plans(content, change, message):
    with pytest.raises(UsageError, match=message):
        make_plan({**content, **change})


def test_all_mistakes_are_named_at_once(content):
    with pytest.raises(UsageError) as error:
        make_plan({**content, "metrics": ["kapa"], "seeds": [1, 1], "backbones": []})
    assert len(str(error.value).splitlines()) == 3


def test_yaml_and_paths_from_its_folder(content, tmp_path, monkeypatch):
    data = tmp_path / "plans" / "data.csv"
    data.parent.mkdir()
    data.write_text("image,label\n")
    content["data"] = {"blobs": "data.csv"}
    (tmp_path / "plans/mine.yaml").write_text(plan_yaml(make_plan(content)))
    monkeypatch.chdir(tmp_path)
    plan = load_plan(tmp_path / "plans/mine.yaml")
    assert plan.data["blobs"].data == str(data)
    assert plan.model_copy(update={"data": {}}) == make_plan(content).model_copy(update={"data": {}})
    with pytest.raises(UsageError, match="to be a readable YAML file"):
        load_plan(tmp_path / "none.yaml")


def test_all_paths_start_from_the_plans_folder(content, tmp_path, monkeypatch):
    folder = tmp_path / "plans"
    (folder / "images").mkdir(parents=True)
    for name in ("data.csv", "split.csv", "weights.safetensors"):
        (folder / name).touch()
    content["data"] = {
        "blobs": {"data": "data.csv", "images": "images", "split_file": "split.csv", "external": {"other": "data.csv"}},
        "away": {"data": "elsewhere.csv"},
    }
    content["methods"] = ["instance", {"method": "class", "label": "mine", "weights": ["weights.safetensors", "none"]}]
    content["settings"]["weights"] = "weights.safetensors"
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    plan = load_plan(folder / "mine.yaml")
    blobs = plan.data["blobs"]
    assert [str(path) for path in (blobs.data, blobs.images, blobs.split_file, blobs.external["other"].data)] == [
        str(folder / name) for name in ("data.csv", "images", "split.csv", "data.csv")
    ]
    assert plan.settings["weights"] == str(folder / "weights.safetensors")
    assert plan.methods[1]["weights"] == [str(folder / "weights.safetensors"), "none"]
    assert plan.data["away"].data == "elsewhere.csv"  # starts from where the command is given


def by_protocol(blobs, **settings):
    manifest = load(DataSettings(data=str(blobs / "labels.csv"), group_column="patient"))
    if "split" in settings:
        manifest = manifest.with_split(settings.pop("split"))
    return prepare(manifest, 32), settings


class TestProtocols:
    @pytest.mark.parametrize("name", PROTOCOLS)
    def test_every_image_is_scored_once_a_repeat(self, blobs, name):
        prepared, _ = by_protocol(blobs)
        folds = divide("blobs", prepared, PROTOCOLS[name], folds=5, repeats=2)
        assert [fold.name for fold in folds] == [f"r{repeat}f{fold}" for repeat in range(2) for fold in range(5)]
        for repeat in range(2):
            scored = sum((fold.split == fold.scored).astype(int) for fold in folds[5 * repeat : 5 * repeat + 5])
            assert (scored == 1).all()
        for fold in folds:
            assert fold.test_share == pytest.approx((fold.split == fold.scored).sum() / (fold.split == "train").sum())
        assert (folds[0].split != folds[5].split).any()

    def test_honest_keeps_groups_and_the_scored_fold_out_of_the_choice(self, blobs):
        prepared, _ = by_protocol(blobs)
        for fold in divide("blobs", prepared, PROTOCOLS["honest"], folds=3, val_fraction=0.2):
            assert fold.scored == "test"
            assert set(fold.split) == {"train", "val", "test"}
            for group in set(prepared.manifest.groups):
                assert len(set(fold.split[prepared.manifest.groups == group])) == 1

    def test_paper_chooses_on_the_scored_fold_and_splits_by_image(self, blobs):
        prepared, _ = by_protocol(blobs)
        folds = divide("blobs", prepared, PROTOCOLS["paper"], folds=5)
        assert all(fold.scored == "val" and set(fold.split) == {"train", "val"} for fold in folds)
        groups = prepared.manifest.groups
        assert any(len(set(folds[0].split[groups == group])) == 2 for group in set(groups))
        assert all(np.bincount(prepared.manifest.labels[fold.split == "val"]).tolist() == [2, 4, 12] for fold in folds)

    def test_a_given_test_part_is_kept(self, blobs):
        given = np.where(np.arange(90) < 60, "train", "test")
        prepared, _ = by_protocol(blobs, split=given)
        (fold,) = divide("blobs", prepared, PROTOCOLS["honest"], folds=5)
        assert (fold.name, fold.scored, fold.test_share) == ("r0", "test", None)
        assert ((fold.split == "test") == (given == "test")).all()
        assert (fold.split == "val").any()
        assert len(divide("blobs", prepared, PROTOCOLS["honest"], folds=5, scheme="folds")) == 5

    def test_published_folds(self, blobs, caplog):
        caplog.set_level("INFO", "balanced_mixup")
        prepared, _ = by_protocol(blobs)
        published = np.arange(90) // 2 % 2
        folds = divide("blobs", prepared, PROTOCOLS["honest"], folds=5, repeats=3, published_folds=published)
        assert [fold.name for fold in folds] == ["r0f0", "r0f1"]
        assert ((folds[1].split == "test") == (published == 1)).all()
        assert "blobs: `folds` is 2 instead of 5, as their folds are published" in caplog.text
        assert "blobs: `repeats` is 1 instead of 3, as their folds are published" in caplog.text

    def test_published_folds_that_divide_patients(self, blobs):
        prepared, _ = by_protocol(blobs)
        published = np.arange(90) % 2
        with pytest.raises(UsageError, match=r"45 of them are in several folds, such as '000\.png' and '001\.png'"):
            divide("blobs", prepared, PROTOCOLS["honest"], published_folds=published)
        assert len(divide("blobs", prepared, PROTOCOLS["paper"], published_folds=published)) == 2

    def test_a_class_that_published_folds_lack_is_told(self, blobs, caplog):
        prepared, _ = by_protocol(blobs)
        published = np.where(np.arange(90) >= 80, 2, np.arange(90) // 2 % 3)
        divide("blobs", prepared, PROTOCOLS["honest"], folds=3, published_folds=published)
        assert "the class blue has too few images (10)" in caplog.text
        assert "2 of 3 folds are scored without it" in caplog.text

    def test_a_part_without_images(self, blobs):
        prepared, _ = by_protocol(blobs)
        rows = np.array([0, 60, 80])
        few = prepared.subset(rows)
        with pytest.raises(
            UsageError, match="of the data 'blobs' in every split, but the division r0f0 of 3 images has none in val"
        ):
            divide("blobs", few, PROTOCOLS["honest"], folds=3)

    def test_repeats_of_a_division_that_is_given_whole(self, blobs, caplog):
        caplog.set_level("INFO", "balanced_mixup")
        prepared, _ = by_protocol(blobs, split=np.repeat(["train", "val", "test"] * 15, 2))
        assert len(divide("blobs", prepared, PROTOCOLS["honest"], repeats=3)) == 1
        assert "blobs: `repeats` is 1 instead of 3, as the data have all three splits" in caplog.text

    def test_a_class_with_fewer_groups_than_folds_is_told(self, blobs, caplog):
        prepared, _ = by_protocol(blobs)
        divide("blobs", prepared, PROTOCOLS["honest"], folds=8)
        assert (
            "the class blue has too few images (10), or groups of them, for the folds: 3 of 8 folds are scored" in caplog.text
        )
        assert "green" not in caplog.text

    def test_given_without_a_test_part(self, blobs):
        prepared, _ = by_protocol(blobs)
        with pytest.raises(UsageError, match="Expected the data 'blobs' to have a test split"):
            divide("blobs", prepared, PROTOCOLS["honest"], scheme="given")


class TestExpand:
    def test_the_runs(self, content, tmp_path):
        runs = expand(make_plan({**content, "seeds": [0, 1]}), tmp_path, {}).runs
        assert len(runs) == 3 * 3 * 2
        assert len({run.folder for run in runs}) == len(runs)
        # Every method of a fold before the next fold.
        assert [run.method for run in runs[:3]] == ["instance", "balanced-mixup alpha=0.1", "balanced-mixup alpha=0.2"]
        assert len({run.fold for run in runs[:3]}) == 1
        assert len({(run.settings["split_file"], run.fold) for run in runs}) == 3
        assert all(sum(run.images.values()) == 90 for run in runs)

    def test_a_folder_is_named_by_content(self, content, blobs, tmp_path):
        def folders(out, **change):
            return [run.folder for run in expand(make_plan({**content, **change}), tmp_path / out, {}).runs]

        first = folders("a")
        moved = tmp_path / "moved"
        moved.symlink_to(blobs)
        assert folders("b", data={"blobs": {"data": str(moved / "labels.csv"), "group_column": "patient"}}) == first
        longer = folders("a", settings={**content["settings"], "epochs": 2})
        assert not set(longer) & set(first)
        assert set(first) < set(folders("a", seeds=[0, 1]))

    def test_fewer_images(self, content, tmp_path):
        content["data"]["blobs"]["images_at_most"] = 45
        expansion = expand(make_plan(content), tmp_path, {})
        expansion.write(make_plan(content), tmp_path)
        runs = expansion.runs
        assert 40 <= sum(runs[0].images.values()) <= 50
        assert (
            load(DataSettings(**{k: v for k, v in runs[0].settings.items() if k in DataSettings.model_fields})).counts().min()
            >= 4
        )

    def test_fold_column(self, content, blobs, tmp_path):
        rows = (blobs / "labels.csv").read_text().splitlines()
        table = [rows[0] + ",fold", *(f"{row},{number // 2 % 2 + 7}" for number, row in enumerate(rows[1:]))]
        (tmp_path / "folds.csv").write_text("\n".join(table))
        entry = {"data": str(tmp_path / "folds.csv"), "images": str(blobs), "group_column": "patient", "fold_column": "fold"}
        runs = expand(make_plan({**content, "data": {"blobs": entry}}), tmp_path / "out", {}).runs
        assert {run.fold for run in runs} == {"r0f0", "r0f1"}
        (tmp_path / "folds.csv").write_text("\n".join([table[0], *(f"{blobs}/{row}" for row in table[1:])]))
        again = expand(make_plan({**content, "data": {"blobs": entry}}), tmp_path / "out", {}).runs
        assert [run.identity for run in again] == [run.identity for run in runs]  # absolute paths name the same images
        entry["fold_column"] = "folt"
        with pytest.raises(UsageError, match=r"Expected the data 'blobs' to have the column 'folt'.* Did you mean 'fold'"):
            expand(make_plan({**content, "data": {"blobs": entry}}), tmp_path / "out", {})

    def test_fold_column_of_what_has_no_columns(self, content, blobs, tmp_path):
        for name in ("red", "green"):
            (tmp_path / "folder" / name).mkdir(parents=True)
            shutil.copy(blobs / ("000.png" if name == "red" else "070.png"), tmp_path / "folder" / name)
        entry = {"data": str(tmp_path / "folder"), "fold_column": "fold"}
        with pytest.raises(UsageError, match=r"Expected `fold_column` only with a table .* 'blobs' are of the kind folder"):
            expand(make_plan({**content, "data": {"blobs": entry}}), tmp_path / "out", {})

    def test_fold_column_of_a_prepared_folder(self, content, blobs, tmp_path):
        rows = (blobs / "labels.csv").read_text().splitlines()
        table = ["image,label,group,fold5", *(f"images/{row},{number // 2 % 3}" for number, row in enumerate(rows[1:]))]
        (tmp_path / "labels.csv").write_text("\n".join(table))
        (tmp_path / "images").symlink_to(blobs)
        about = {"name": "x", "title": "x", "classes": ["red", "green", "blue"], "ordinal": False}
        columns = {"image": "image", "label": "label", "group": "group"}
        (tmp_path / "prepare.yaml").write_text("{}")
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({**about, "columns": columns}))
        entry = {"data": str(tmp_path), "fold_column": "fold5"}
        runs = expand(make_plan({**content, "data": {"blobs": entry}}), tmp_path / "out", {}).runs
        assert {run.fold for run in runs} == {"r0f0", "r0f1", "r0f2"}

    def test_images_that_a_split_file_leaves_out_stay_out(self, content, blobs, tmp_path):
        manifest = load(DataSettings(data=str(blobs / "labels.csv")))
        write_split(tmp_path / "mine.csv", manifest.images.names, np.array(["train", "test", "unused"] * 30))
        content["data"]["blobs"] |= {"split_file": str(tmp_path / "mine.csv"), "group_column": None}
        expansion = expand(make_plan(content), tmp_path, {})
        expansion.write(make_plan(content), tmp_path)
        run = expansion.runs[0]
        read = load(DataSettings(**{name: run.settings[name] for name in ("data", "split_file")}))
        assert len(read) == 60 and not any(problem.rows for problem in read.problems)
        assert run.images == {"train": 26, "val": 4, "test": 30}  # one of the three blue ones validates


@pytest.mark.parametrize("place", ["alone", "settings", "external"])
def test_data_frames_are_refused_with_the_way_out(content, place):
    frame = pd.DataFrame({"image": ["secret.png"], "label": ["x"]})
    entry = {"alone": frame, "settings": {"data": frame}, "external": {"data": "t.csv", "external": {"skin": {"data": frame}}}}
    content["data"] = {"skin" if place != "external" else "other": entry[place]}
    with pytest.raises(
        UsageError, match=r"the path of a table or folder as data 'skin' of the plan.*a data frame.*to_csv"
    ) as caught:
        make_plan(content)
    assert "secret" not in str(caught.value)
