"""Plans: what a YAML file means, and every mistake in it named at once."""

import numpy as np
import pytest

from balanced_mixup.benchmark.plan import load_plan, make_plan, method_cells, plan_yaml
from balanced_mixup.benchmark.protocols import PROTOCOLS, divide
from balanced_mixup.benchmark.runs import expand
from balanced_mixup.data.preparation import prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import UsageError


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
        cells = method_cells(make_plan(content))
        assert [cell.label for cell in cells] == [
            "balanced-mixup alpha=0.1 weight_per=batch",
            "balanced-mixup alpha=0.1 weight_per=sample",
            "balanced-mixup alpha=0.3 weight_per=batch",
            "balanced-mixup alpha=0.3 weight_per=sample",
            "instance",
        ]
        assert cells[2].settings == {"method": "balanced-mixup", "alpha": 0.3, "weight_per": "batch"}

    def test_a_label_stands_for_what_it_names(self, content):
        content["methods"] = ["instance", {"label": "mine", "method": "balanced-mixup", "alpha": [0.1, 0.2], "epochs": 2}]
        assert [cell.label for cell in method_cells(make_plan(content))] == ["instance", "mine alpha=0.1", "mine alpha=0.2"]


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
            {"methods": ["instance", {"label": "again", "method": "instance", "alpha": 0.9}]},
            "'instance' and 'again' of the plan are the same training",
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
        ({"data": {"a/b": "x.csv", "a b": "y.csv"}}, "each another, but got 'a/b' and 'a b'"),
        ({"data": {"..": "x.csv"}}, "Expected names of data of which folders can be made"),
        ({"setings": {}}, "Unknown key `setings` in the plan. Did you mean 'settings'"),
        ({"folds": 1}, "Expected `folds` to be greater than or equal to 2"),
        ({"protocol": "best"}, "Expected `protocol` to be 'honest' or 'paper', but got 'best'"),
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

    def test_published_folds(self, blobs):
        prepared, _ = by_protocol(blobs)
        published = np.arange(90) // 2 % 2
        folds = divide("blobs", prepared, PROTOCOLS["honest"], folds=5, repeats=3, published_folds=published)
        assert [fold.name for fold in folds] == ["r0f0", "r0f1"]
        assert ((folds[1].split == "test") == (published == 1)).all()

    def test_a_class_with_fewer_groups_than_folds_is_told(self, blobs, caplog):
        prepared, _ = by_protocol(blobs)
        divide("blobs", prepared, PROTOCOLS["honest"], folds=8)
        assert "the class blue has 5 groups of images for 8 folds. 3 of the folds are scored without it" in caplog.text
        assert "green" not in caplog.text

    def test_given_without_a_test_part(self, blobs):
        prepared, _ = by_protocol(blobs)
        with pytest.raises(UsageError, match="Expected the data 'blobs' to have a test part"):
            divide("blobs", prepared, PROTOCOLS["honest"], scheme="given")


class TestExpand:
    def test_the_runs(self, content, tmp_path):
        runs = expand(make_plan({**content, "seeds": [0, 1]}), tmp_path, {})
        assert len(runs) == 3 * 3 * 2
        assert len({run.folder for run in runs}) == len(runs)
        # Every method of a fold before the next fold.
        assert [run.method for run in runs[:3]] == ["instance", "balanced-mixup alpha=0.1", "balanced-mixup alpha=0.2"]
        assert len({run.fold for run in runs[:3]}) == 1
        assert len({(run.settings["split_file"], run.fold) for run in runs}) == 3
        assert all(sum(run.images.values()) == 90 for run in runs)

    def test_a_folder_is_named_by_content(self, content, blobs, tmp_path):
        def folders(out, **change):
            return [run.folder for run in expand(make_plan({**content, **change}), tmp_path / out, {})]

        first = folders("a")
        moved = tmp_path / "moved"
        moved.symlink_to(blobs)
        assert folders("b", data={"blobs": {"data": str(moved / "labels.csv"), "group_column": "patient"}}) == first
        longer = folders("a", settings={**content["settings"], "epochs": 2})
        assert not set(longer) & set(first)
        assert set(first) < set(folders("a", seeds=[0, 1]))

    def test_fewer_images(self, content, tmp_path):
        content["data"]["blobs"]["images_at_most"] = 45
        runs = expand(make_plan(content), tmp_path, {})
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
        runs = expand(make_plan({**content, "data": {"blobs": entry}}), tmp_path / "out", {})
        assert {run.fold for run in runs} == {"r0f0", "r0f1"}
        entry["fold_column"] = "folt"
        with pytest.raises(UsageError, match=r"Expected the data 'blobs' to have the column 'folt'.* Did you mean 'fold'"):
            expand(make_plan({**content, "data": {"blobs": entry}}), tmp_path / "out", {})
