"""Scores of subgroups: what they are, where their columns come from, and where they are shown."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from balanced_mixup import UsageError, evaluate
from balanced_mixup.cli import run as command
from balanced_mixup.evaluation.subgroups import SubgroupColumns, _values, subgroups
from balanced_mixup.metrics import score
from balanced_mixup.report.write import make_report
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.subgroups import Subgroup

CLASSES = ("naevus", "melanoma")


@pytest.fixture
def clinic(tmp_path):
    """Labels of 200 images with sex, age and site, and the predictions of a program that is worse for men."""
    rng = np.random.default_rng(0)
    n = 200
    labels, male = (rng.random(n) < 0.4).astype(int), rng.random(n) < 0.5
    wrong = rng.random(n) < np.where(male, 0.4, 0.05)
    table = pd.DataFrame(
        {
            "image": [f"{row:03}.jpg" for row in range(n)],
            "label": [CLASSES[label] for label in labels],
            "sex": np.where(male, "m", "f"),
            "age": rng.integers(18, 90, n),
            "site": np.where(rng.random(n) < 0.1, "", "north"),
        }
    )
    table.to_csv(tmp_path / "labels.csv", index=False)
    p = np.where((labels ^ wrong).astype(bool), 0.8, 0.2)
    pd.DataFrame({"image": table["image"], "naevus": 1 - p, "melanoma": p}).to_csv(tmp_path / "theirs.csv", index=False)
    return tmp_path, table, np.stack([1 - p, p], axis=1), labels


def test_scores_are_those_of_the_images_with_the_value(clinic):
    folder, table, probabilities, labels = clinic
    result = evaluate(
        predictions=folder / "theirs.csv",
        data=folder / "labels.csv",
        subgroup_columns=["sex", "age", "site"],
        out=folder / "out",
    )
    found = {(each.column, each.value): each for each in result.subgroups}
    assert [column for column, _ in found] == ["sex"] * 2 + ["age"] * 4 + ["site"] * 2
    women, men = (score(labels[rows], probabilities[rows]) for rows in (table["sex"] == "f", table["sex"] == "m"))
    for name in ("balanced_accuracy", "macro_auc"):
        own = found["sex", "m"].metrics[name]
        assert own.score.value == pytest.approx(men[name])
        assert own.difference.value == pytest.approx(men[name] - women[name])
        assert own.difference.low < own.difference.value < own.difference.high < 0
    bands = [value for column, value in found if column == "age"]
    low, high = table["age"].min(), table["age"].max()
    assert bands[0].startswith(f"{low} to ") and bands[-1].endswith(f" to {high}")
    assert all(40 <= found["age", band].n <= 60 for band in bands)
    assert found["site", "(not given)"].n == (table["site"] == "").sum()
    stored = json.loads((folder / "out" / "metrics.json").read_text())["subgroups"]
    assert stored[1]["value"] == "m" and stored[1]["recalls"]["melanoma"]["score"]["value"] < 0.8
    text, means, recalls, *_ = _section(make_report(folder / "out", folder), "subgroups")
    assert (
        "24 differences were computed" in text.text
    )  # 4 of each of 6 values; of women and men those of either are the others'
    assert [row[:3] for row in means.rows[:2]] == [["sex", each, str(found["sex", each].n)] for each in "fm"]
    assert len(recalls.rows) == 8 * 2
    women = table["label"][table["sex"] == "f"].value_counts().astype(str).to_dict()
    assert {row[2]: row[3] for row in recalls.rows[:2]} == women and means.rows[0][3] == "2 of 2"


def _section(report, name):
    return next(section.blocks for section in report.sections if section.name == name)


def test_a_mean_over_other_classes_is_not_compared_and_small_subgroups_carry_warnings():
    labels = np.array([0] * 60 + [1] * 40)
    scored = Predictions(
        tuple(f"{row}" for row in range(100)), labels, np.full((100, 2), 0.5, np.float32), CLASSES, None, np.full(100, "test")
    )
    site = np.array(["a"] * 58 + ["b"] * 42)
    large, small = subgroups(scored, {"site": site})
    assert math.isnan(large.metrics["balanced_accuracy"].difference.value)  # it has no melanoma
    assert large.recalls["naevus"].difference.value == 0
    assert "Only 2 images of 'naevus'" in small.recalls["naevus"].score.warning
    assert "Only 2 images of 'naevus'" in large.recalls["naevus"].difference.warning


def test_a_subgroup_that_lacks_a_class_says_so_and_shows_no_bare_score(tmp_path, capsys):
    labels, sites = np.repeat([0, 1], 100), np.repeat(["north", "south", "north"], [97, 3, 100])
    names = [f"{row:03}.jpg" for row in range(200)]
    pd.DataFrame({"image": names, "label": np.array(CLASSES)[labels], "site": sites}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    scores = pd.DataFrame({"image": names, "naevus": 0.9 - 0.8 * labels, "melanoma": 0.1 + 0.8 * labels})
    scores.to_csv(tmp_path / "theirs.csv", index=False)
    where = [
        "--predictions",
        str(tmp_path / "theirs.csv"),
        "--data",
        str(tmp_path / "labels.csv"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert command(["evaluate", *where, "--subgroup-columns", "site"]) == 0
    (line,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("site: south")]
    assert line == ["site:", "south", "3", "1", "of", "2", "–", "–"]
    text, means, recalls, *_ = _section(make_report(tmp_path / "out", tmp_path), "subgroups")
    assert "0 differences were computed" in text.text
    assert means.rows[1][:5] == ["site", "south", "3", "1 of 2", "–"]
    shown = {(row[1], row[2]): row[3] for row in recalls.rows}
    assert shown == {("north", "naevus"): "97", ("north", "melanoma"): "100", ("south", "naevus"): "3"}
    stored = json.loads((tmp_path / "out" / "metrics.json").read_text())["subgroups"][1]
    del stored["support"]  # of an earlier version
    assert Subgroup.from_dict(stored).support == {}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "sexe",
            r"Expected `subgroup_columns` to name columns of the data \(image, label, .*but got 'sexe'. Did you mean 'sex'",
        ),
        ("image", r"at most 30 different values, but 'image' has 200"),
    ],
)
def test_a_column_that_is_not_there_or_names_each_image_is_refused(clinic, column, message):
    folder, *_ = clinic
    with pytest.raises(UsageError, match=message):
        evaluate(predictions=folder / "theirs.csv", data=folder / "labels.csv", subgroup_columns=[column], out=folder / "out")
    assert not (folder / "out").exists()


def test_images_that_the_table_lacks_are_named(tmp_path):
    columns = SubgroupColumns(["a.jpg"], {"sex": ["m"]})
    with pytest.raises(UsageError, match=r"1 are not in it, such as 'b.jpg'"):
        columns.of(["a.jpg", "b.jpg"])


def test_of_a_run_the_columns_come_from_the_table_of_its_recipe(tiny_run, tmp_path, capsys):
    assert command(["evaluate", str(tiny_run), "--subgroup-columns", "patient", "--out", str(tmp_path / "own")]) == 0
    printed = capsys.readouterr().out
    stored = json.loads((tmp_path / "own" / "metrics.json").read_text())
    test = pd.read_parquet(tiny_run / "predictions.parquet").query("split == 'test'")
    assert {each["value"]: each["n"] for each in stored["subgroups"]} == test["group"].value_counts().to_dict()
    assert all(f"patient: {group}" in printed for group in test["group"])
    names = [section.name for section in make_report(tmp_path / "own", tmp_path).sections]
    assert "subgroups" in names and "data" not in names


def test_a_band_of_one_value_has_its_name():
    ages = np.array([*range(20, 26), *[65] * 12, *range(80, 86)], object)
    assert sorted(set(_values("age", ages))) == ["20 to 25", "65", "80 to 85"]
