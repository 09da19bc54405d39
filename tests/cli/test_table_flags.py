"""The flags of tables as a user types them: what `check` proposes does what it says."""

import json

import pandas as pd
import pytest

from balanced_mixup.evaluation.other_data import warn_of_shared_groups
from balanced_mixup.runs.run import Run


@pytest.fixture
def graded(blobs, tmp_path):
    """A table of 90 images with five grades and a patient of two images each, and the folder of its images."""
    frame = pd.read_csv(blobs / "labels.csv")
    frame["label"] = [k // 2 % 5 for k in range(90)]
    return frame, tmp_path / "labels.csv", ("--images", blobs)


def test_groups_and_grades_are_proposed_and_the_proposal_is_taken(command, graded):
    frame, path, images = graded
    frame.to_csv(path, index=False)
    status, out, _ = command("check", "--data", path, *images, "--json")
    problems = json.loads(out)["problems"]
    assert (status, [problem["kind"] for problem in problems]) == (0, ["possible groups", "possible grades"])
    flags = [problem["message"].partition(", add ")[2].split() for problem in problems]
    assert flags == [["--group-column", "patient"], ["--ordinal"]]
    status, out, _ = command("check", "--data", path, *images, *flags[0], *flags[1], "--json")
    found = json.loads(out)
    assert (status, found["problems"], found["groups"]["count"], found["ordinal"]) == (0, [], 45, True)
    _, out, _ = command("check", "--data", path, *images, "--ignore-groups", "--no-ordinal")
    assert out.splitlines()[-1] == "no problems"


def test_a_proposed_pattern(command, graded):
    frame, path, _ = graded
    folder = path.parent / "photos"
    folder.mkdir()
    names = [f"{k // 2}_{('left', 'right')[k % 2]}.png" for k in range(90)]
    for source, name in zip(frame["image"], names, strict=True):
        (folder / name).symlink_to(graded[2][1] / source)
    frame.assign(image=names)[["image", "label"]].to_csv(path, index=False)
    arguments = ("check", "--data", path, "--images", folder, "--ordinal", "--json")
    (problem,) = json.loads(command(*arguments)[1])["problems"]
    pattern = problem["message"].partition("--group-pattern ")[2].strip('"')
    found = json.loads(command(*arguments, "--group-pattern", pattern)[1])
    assert (found["problems"], found["groups"]["count"]) == ([], 45)


def test_one_hot_and_one_against_the_rest(command, graded):
    frame, path, images = graded
    frame = pd.concat([frame, pd.get_dummies(frame.pop("label"), prefix="grade", dtype=float)], axis=1)
    frame.to_excel(path.with_suffix(".xlsx"), index=False)
    arguments = ("check", "--data", path.with_suffix(".xlsx"), *images, "--group-column", "patient")
    status, _, message = command(*arguments)
    assert status == 2
    flag = message.rpartition("add ")[2].split()
    assert flag == ["--label-columns", "grade_0,grade_1,grade_2,grade_3,grade_4"]
    found = json.loads(command(*arguments, *flag, "--one-vs-rest", "grade_3", "--json")[1])
    assert [(entry["name"], entry["count"]) for entry in found["classes"]] == [("not grade_3", 72), ("grade_3", 18)]
    status, _, message = command(*arguments, *flag, "--one-vs-rest", "grade_9")
    assert (status, "Expected --one-vs-rest to be one of grade_0, grade_1, " in message) == (2, True)


def test_a_training_on_two_tables(command, graded, tiny, tmp_path, monkeypatch):
    """The paths are those of the folder in which it was started, wherever it is resumed; a label of the test data is known."""
    frame, path, images = graded
    monkeypatch.chdir(path.parent)
    frame.iloc[:70].to_parquet("train.parquet")
    frame.iloc[70:].to_csv("test.csv.gz", index=False)
    flags = ("--data", "train.parquet", "--test-data", "test.csv.gz", *images, "--one-vs-rest", "3")
    quick = {
        **{key: tiny[key] for key in ("backbone", "weights", "size", "batch_size", "accelerator", "val_fraction")},
        "epochs": 1,
    }
    settings = [text for key, value in quick.items() for text in ("--" + key.replace("_", "-"), value)]
    status, _, error = command("train", *flags, *settings, "--no-report", "--out", "run")
    assert status == 0, error
    made = Run.open("run")
    assert made.classes == ("not 3", "3")
    assert made.counts("test").tolist() == [16, 4]
    assert "column 'patient' looks like groups" in error
    assert made.environment["suggestions"][0].startswith("column 'patient' looks like groups")
    assert made.recipe.test_data == str(path.parent / "test.csv.gz")
    (path.parent / "elsewhere").mkdir()
    monkeypatch.chdir(path.parent / "elsewhere")
    assert command("train", "--resume", "--no-report", "--out", "../run")[0] == 0
    status, out, error = command("evaluate", "../run", "--data", "../test.csv.gz", *images, "--no-report", "--json")
    assert (status, json.loads(out)["n"]) == (0, 20), error


def test_links_in_a_circle_are_no_folder(command, graded, tmp_path):
    frame, path, _ = graded
    frame.to_csv(path, index=False)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("check", "train"):
        status, _, error = command(
            name, "--data", path, "--images", tmp_path / "circle", *(("--out", tmp_path / "run") * (name == "train"))
        )
        assert (status, "expected --images to be a folder" in error) == (2, True)


def test_shared_groups_are_found_however_they_are_written(graded, caplog):
    from balanced_mixup.data.settings import DataSettings
    from balanced_mixup.data.sources import load

    frame, path, (_, images) = graded
    frame.assign(patient=range(90)).to_csv(path, index=False)
    manifest = load(DataSettings(data=str(path), images=images, group_column="patient"))
    warn_of_shared_groups(manifest, manifest.labels * 0 + 17, {"17.0", "p3"})
    assert "Groups that occur under the same name in the training data: 1 (such as '17')" in caplog.text
