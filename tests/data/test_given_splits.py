"""Training, validation and test data in tables or folders of their own."""

import pickle

import numpy as np
import pytest
from PIL import Image

from balanced_mixup.data.inspection import exclude, inspect
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.store import Store
from balanced_mixup.errors import DataError, UsageError


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a table (rows of image, label, patient) with its images, and returns its path."""

    def make(name, *rows):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("image,label,patient\n" + "".join(",".join(row) + "\n" for row in rows))
        for image, *_ in rows:
            if not (file := path.parent / image).exists():
                pixels = np.full((5, 5, 3), len(list(tmp_path.rglob("*.png"))), np.uint8)
                Image.fromarray(pixels).save(file)
        return str(path)

    return make


TRAIN = [(f"{k}.png", "ab"[k % 2], f"p{k}") for k in range(8)]
TEST = [(f"t{k}.png", "ab"[k % 2], f"q{k}") for k in range(4)]


def kinds(manifest):
    return [problem.kind for problem in manifest.problems]


def test_two_tables_in_one_folder(write):
    manifest = load(DataSettings(data=write("train.csv", *TRAIN), test_data=write("test.csv", *TEST), group_column="patient"))
    assert manifest.split.tolist() == ["train"] * 8 + ["test"] * 4
    assert manifest.classes == ("a", "b")
    assert manifest.labels.tolist() == [0, 1] * 6
    assert manifest.groups[-1] == "q3"
    assert list(manifest.images.names) == [row[0] for row in (*TRAIN, *TEST)]
    inspection = inspect(manifest, 0.25, 0.2)
    assert inspection.problems == ()
    assert [len(inspection.planned.rows(split)) for split in ("train", "val", "test")] == [6, 2, 4]


def test_three_tables_in_their_own_folders(write, tmp_path):
    first, second, third = write("a/train.csv", *TRAIN), write("b/val.csv", *TRAIN[:2]), write("a/test.csv", *TEST)
    manifest = load(DataSettings(data=first, val_data=second, test_data=third))
    assert manifest.split.tolist() == ["train"] * 8 + ["val"] * 2 + ["test"] * 4
    images = manifest.images
    assert images.origin == str(tmp_path)
    assert list(images.names[7:10]) == ["a/7.png", "b/0.png", "b/1.png"]  # other files than a/0.png and a/1.png
    assert [images.key(row) for row in (0, 8)] == ["a/0.png", "b/0.png"]
    inspection = inspect(manifest, 0.2, 0.2)
    assert inspection.problems == ()
    assert inspection.planned is inspection.manifest


def test_joined_images_are_those_of_their_sources(write, tmp_path):
    manifest = load(DataSettings(data=write("a/train.csv", *TRAIN), test_data=write("b/test.csv", *TEST)))
    expected = [int(Image.open(tmp_path / name).getpixel((0, 0))[0]) for name in manifest.images.names]
    some = pickle.loads(pickle.dumps(manifest.images.subset([9, 0, 11, -1])))
    for images, rows in ((manifest.images, range(12)), (some, [9, 0, 11, 11])):
        for position, row in enumerate(rows):
            assert images.read(position)[0, 0, 0] == expected[row]
            assert images.names[position] == manifest.images.names[row]
            assert images.digest(position) == images.scan(position).digest
            assert images.stamp(position) is not None
    with Store.under(tmp_path / "cache", manifest.images.origin, 4).opened_for(manifest.images) as store:
        for row in range(12):
            store.scan(row)
    assert store.pixels().gather(np.arange(12))[:, 0, 0, 0].tolist() == expected


def test_a_label_that_only_the_test_data_have(write):
    data, test = write("train.csv", *TRAIN), write("test.csv", *TEST, ("t9.png", "aa", "q9"))
    manifest = load(DataSettings(data=data, test_data=test))
    (problem,) = manifest.problems
    assert (problem.kind, problem.rows) == ("unknown label", (12,))
    assert problem.message == "test.csv line 6: expected one of a, b; got 'aa'. Did you mean 'a'?"
    manifest = load(DataSettings(data=data, test_data=test, classes="aa,b,a"))
    assert (manifest.problems, manifest.labels[-1]) == ((), 0)


def test_leaks_between_tables(write, tmp_path):
    data = write("train.csv", *TRAIN)
    (tmp_path / "t0.png").write_bytes((tmp_path / "2.png").read_bytes())
    test = write("test.csv", *TEST, ("0.png", "a", "P1"))
    manifest = load(DataSettings(data=data, test_data=test, group_column="patient"))
    inspection = inspect(manifest, 0.2)
    found = {problem.kind: problem for problem in inspection.problems if "small" not in problem.kind}
    assert found["image in several splits"].message == "0.png is in the train split and in the test split"
    assert found["image in several splits"].rows == (0,)
    assert found["identical images in different splits"].rows == (2,)
    assert (
        found["group in several splits"].message
        == "expected all images of group 'p1' in one split, got 1 in train and 1 in test"
    )
    assert found["group written in several ways"].message == "'p1' and 'P1' are one group"
    assert exclude(inspection)[1].tolist() == [0, 2]


def test_problems_name_their_table_and_row(write):
    data, test = write("train.csv", *TRAIN), write("test.csv", *TEST, ("../x.png", "a", "q"), ("t2.png", "a", "q2"))
    manifest = load(DataSettings(data=data, test_data=test))
    assert [(problem.rows, problem.message.partition(":")[0]) for problem in manifest.problems] == [
        ((12,), "test.csv line 6"),
        ((13,), "test.csv line 7"),
    ]
    with pytest.raises(DataError, match="inside the image root"):
        manifest.images.read(12)
    with pytest.raises(DataError, match=r"test\.csv has no column 'patiens'"):
        load(DataSettings(data=test, test_data=test, group_column="patiens"))


def test_a_rename_is_unused_if_no_table_has_it(write):
    settings = {"data": write("train.csv", *TRAIN), "test_data": write("test.csv", *TEST, ("t9.png", "B", "q9"))}
    assert kinds(load(DataSettings(**settings, label_map={"B": "b"}))) == []
    assert kinds(load(DataSettings(**settings, label_map={"B": "b", "C": "b"}))) == ["unused label map"]


def test_folders_and_arrays(tmp_path):
    for place in ("train", "test"):
        for name in "ab":
            (tmp_path / place / name).mkdir(parents=True)
            Image.new("RGB", (3, 3), (len(place), ord(name), 0)).save(tmp_path / place / name / "1.png")
        arrays = {"train_images": np.full((2, 3, 3), len(place), np.uint8), "train_labels": np.arange(2)}
        np.savez(tmp_path / f"{place}.npz", **arrays)
    folders = load(DataSettings(data=str(tmp_path / "train"), test_data=str(tmp_path / "test")))
    assert (list(folders.images.names), folders.split.tolist()) == (
        ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"],
        ["train", "train", "test", "test"],
    )
    arrays = load(DataSettings(data=str(tmp_path / "train.npz"), test_data=str(tmp_path / "test.npz")))
    assert [arrays.images.read(row)[0, 0, 0] for row in range(4)] == [5, 5, 4, 4]
    assert arrays.images.names[2] == "test.npz/train_00000"
    assert arrays.split.tolist() == ["train", "train", "test", "test"]
    assert not arrays.published_split


def test_what_does_not_exist(write, tmp_path):
    with pytest.raises(UsageError, match=r"gone\.csv' does not exist"):
        load(DataSettings(data=write("train.csv", *TRAIN), test_data=str(tmp_path / "gone.csv")))
