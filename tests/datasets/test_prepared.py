"""A prepared folder as a source: it brings its classes, groups and split, and takes what tables take."""

import numpy as np
import pytest
from PIL import Image

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import kind_of, load
from balanced_mixup.datasets.prepare import prepare_dataset
from balanced_mixup.errors import DataError, UsageError


@pytest.fixture
def eyepacs(tmp_path):
    """Two patients for training and one for the test, grades 0, 1, 4, 4, 0, 2."""
    raw = tmp_path / "raw"
    for part, names in {"train": ("1_left", "1_right", "2_left", "2_right"), "test": ("7_left", "7_right")}.items():
        (raw / part).mkdir(parents=True)
        for i, name in enumerate(names):
            Image.fromarray(np.full((20, 30, 3), 50 + 30 * i, np.uint8)).save(raw / part / f"{name}.jpeg")
    (raw / "trainLabels.csv").write_text("image,level\n1_left,0\n1_right,1\n2_left,4\n2_right,4\n")
    (raw / "retinopathy_solution.csv").write_text("image,level,Usage\r\n7_left,0,Public\r\n7_right,2,Private\r\n")
    prepare_dataset("eyepacs", raw, tmp_path / "eye", size=16, jobs=1)
    return tmp_path / "eye"


def test_all_of_it(eyepacs):
    assert kind_of(str(eyepacs)) == "prepared"
    manifest = load(DataSettings(data=str(eyepacs)))
    assert manifest.classes == ("0", "1", "2", "3", "4")
    assert manifest.ordinal
    assert manifest.labels.tolist() == [0, 1, 4, 4, 0, 2]
    assert manifest.groups.tolist() == ["1", "1", "2", "2", "7", "7"]
    assert manifest.split.tolist() == ["train"] * 4 + ["test"] * 2
    assert manifest.published_split
    assert manifest.problems == ()
    assert manifest.images.names[0] == "images/1_left.jpg"
    assert manifest.images.read(0).shape == (16, 16, 3)


def test_a_label_map_renames_the_classes(eyepacs):
    manifest = load(DataSettings(data=str(eyepacs), label_map={"0": "no", "1": "some", "2": "some", "3": "some", "4": "bad"}))
    assert manifest.classes == ("no", "some", "bad")
    assert manifest.labels.tolist() == [0, 1, 2, 2, 0, 1]
    assert [problem.kind for problem in manifest.problems] == ["unused label map"]  # of the grade 3


def test_the_classes_of_a_trained_classifier_go_first(eyepacs):
    manifest = load(DataSettings(data=str(eyepacs), classes=("4", "3", "2", "1", "0")))
    assert manifest.labels.tolist() == [4, 3, 0, 0, 4, 2]
    manifest = load(DataSettings(data=str(eyepacs), classes=("0", "4")))
    assert [problem.kind for problem in manifest.problems] == ["unknown label", "unknown label"]
    assert "expected one of 0, 4; got '1'" in manifest.problems[0].message


@pytest.mark.parametrize("flag", ["images", "group_column", "split_column"])
def test_what_it_brings_cannot_be_said_otherwise(eyepacs, flag):
    with pytest.raises(UsageError, match=f"Expected --{flag.replace('_', '-')} only with a table .* kind prepared"):
        load(DataSettings(data=str(eyepacs), **{flag: "x"}))


def test_grades_that_are_none(eyepacs):
    about = eyepacs / "dataset.yaml"
    about.write_text(about.read_text().replace("ordinal: true", "ordinal: false"))
    assert not load(DataSettings(data=str(eyepacs))).ordinal
    with pytest.raises(UsageError, match=r"Expected no --ordinal with .*: the classes of EyePACS .* are not ordinal"):
        load(DataSettings(data=str(eyepacs), ordinal=True))


def test_an_image_that_went_missing_is_a_problem_as_in_a_table(eyepacs):
    (eyepacs / "images" / "2_left.jpg").unlink()
    with pytest.raises(DataError, match=r"images/2_left.jpg: no such file"):
        load(DataSettings(data=str(eyepacs))).images.read(2)


def test_not_prepared_to_the_end(eyepacs):
    (eyepacs / "dataset.yaml").unlink()
    with pytest.raises(UsageError, match=r"to be fully prepared, but it has no dataset.yaml. Run the same `bmixup prepare`"):
        load(DataSettings(data=str(eyepacs)))


@pytest.mark.parametrize("text", ["a: [", "- 1", "name: eyepacs\n", "", "classes: []\ntitle: x\ncolumns: {}\n"])
def test_damaged(eyepacs, text):
    (eyepacs / "dataset.yaml").write_text(text)
    with pytest.raises(DataError, match=r"dataset.yaml: (cannot be parsed|expected title, classes, ordinal and columns)"):
        load(DataSettings(data=str(eyepacs)))


@pytest.mark.parametrize("name", ["eyepacs", "dermamnist"])
def test_a_name_alone_is_no_data_yet(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=rf"the name of a published data set.*`bmixup prepare {name} --root RAW --out DIR`"):
        load(DataSettings(data=name))
    with pytest.raises(UsageError, match=rf"does not exist\. Did you mean '{name}'\?"):
        load(DataSettings(data=name[:-1]))
