"""Everything that is wrong with a data set is found at once, said in words, and can be left out."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from balanced_mixup.cli.check import show
from balanced_mixup.data.images import FileImages
from balanced_mixup.data.inspection import exclude, inspect
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import DataError, UsageError


@pytest.fixture
def data(tmp_path):
    """Return a function that writes images and a table (rows of file, label, group, split) and reads the manifest."""

    def make(rows, write=True, **settings):
        text = "image,label,group,split\n" + "".join(",".join(row) + "\n" for row in rows)
        (tmp_path / "labels.csv").write_text(text)
        for number, (name, *_) in enumerate(rows):
            if write and not (tmp_path / name).exists():
                Image.new("RGB", (8 + number % 3, 6), (number % 256, number // 256, 7)).save(tmp_path / name)
        return load(DataSettings(data=str(tmp_path / "labels.csv"), **settings))

    return make


def rows_of(n, label=lambda i: "xy"[i % 2], group=lambda i: f"g{i}", split=lambda i: "train"):
    return [(f"{i}.png", label(i), group(i), split(i)) for i in range(n)]


def found(inspection, kind):
    return [problem for problem in inspection.problems if problem.kind == kind]


def only(inspection):
    assert len(inspection.problems) == 1, inspection.problems
    return inspection.problems[0]


class TestGood:
    def test_facts(self, data):
        inspection = inspect(data(rows_of(20, group=lambda i: f"g{i // 3}"), group_column="group"), 0.2, 0.2)
        assert inspection.problems == ()
        assert inspection.group_sizes.tolist() == [2] + [3] * 6
        assert inspection.sizes == [((8, 6), 7), ((9, 6), 7), ((10, 6), 6)]
        assert inspection.shapes[1].tolist() == [6, 9]
        assert len(set(inspection.digests)) == 20
        assert inspection.manifest.split is None
        assert sum(len(inspection.planned.rows(part)) for part in ("train", "val", "test")) == 20
        facts = json.loads(json.dumps(inspection.to_dict()))
        assert facts["n"] == 20
        assert facts["groups"] == {"count": 7, "min": 2, "median": 3.0, "max": 3}
        assert facts["classes"][0]["name"] == "x"
        assert facts["classes"][0]["share"] == 0.5
        assert sum(facts["classes"][0][part] for part in ("train", "val", "test")) == facts["classes"][0]["count"] == 10

    def test_every_image_is_opened_once(self, data):
        manifest = data(rows_of(70))
        store = np.zeros((70, 4, 4, 3), np.uint8)
        calls = []

        def scan(row):
            calls.append(row)
            found = manifest.images.scan(row, 4)
            store[row] = found.pixels
            return found

        inspect(manifest, 0.2, 0.2, scan=scan)
        assert sorted(calls) == list(range(70))
        for row in (0, 33, 69):
            np.testing.assert_array_equal(store[row], manifest.images.read(row, size=4))

    def test_the_planned_split_keeps_identical_images_together(self, data, tmp_path):
        Image.new("RGB", (5, 5)).save(tmp_path / "same.png")
        rows = rows_of(20)
        for i in (4, 6, 8, 10, 12):
            (tmp_path / f"{i}.png").write_bytes((tmp_path / "same.png").read_bytes())
        inspection = inspect(data(rows), 0.3, 0.3)
        problem = only(inspection)
        assert (problem.kind, problem.fatal, problem.rows) == ("identical images", False, (4, 6, 8, 10, 12))
        assert problem.message.startswith("'4.png', '6.png', '8.png', '10.png' and '12.png' are the same image")
        assert len(set(inspection.planned.split[[4, 6, 8, 10, 12]])) == 1

    def test_data_for_evaluation_alone(self, data):
        inspection = inspect(data(rows_of(4, split=lambda i: "test"), split_column="split"), None)
        assert inspection.problems == ()
        assert inspection.planned is inspection.manifest

    def test_fractions_are_checked_before_any_image_is_opened(self, data):
        with pytest.raises(UsageError, match="--val-fraction"):
            inspect(data(rows_of(4), write=False), 0)


class TestFiles:
    @pytest.mark.parametrize(
        ("spoil", "kind", "message"),
        [
            (lambda path: path.unlink(), "missing file", "3.png: no such file"),
            (lambda path: path.write_bytes(b""), "empty file", "3.png: the file has 0 bytes"),
            (lambda path: path.write_bytes(path.read_bytes()[:50]), "damaged image", "3.png: truncated or damaged"),
            (lambda path: path.write_text("hello"), "not an image", "3.png: not an image"),
            (lambda path: (path.unlink(), path.mkdir()), "not a file", "3.png: expected an image file, got a folder"),
        ],
    )
    def test_one_bad_file(self, data, tmp_path, spoil, kind, message):
        manifest = data(rows_of(20))
        spoil(tmp_path / "3.png")
        inspection = inspect(manifest, 0.2, 0.2)
        problem = only(inspection)
        assert (problem.kind, problem.rows, problem.fatal) == (kind, (3,), True)
        assert problem.message.startswith(message)
        assert inspection.shapes[3].tolist() == [0, 0]
        assert inspection.digests[3] == ""

    def test_a_bad_path_is_told_once(self, data):
        manifest = data([("../a.png", "x", "g", "train"), *rows_of(20)], image_column="image")
        assert [problem.kind for problem in inspect(manifest, 0.2, 0.2).problems] == ["path outside the image root"]


class TestBetweenImages:
    def test_identical_images_with_different_labels(self, data, tmp_path):
        manifest = data(rows_of(20))
        (tmp_path / "5.png").write_bytes((tmp_path / "2.png").read_bytes())
        problem = only(inspect(manifest, 0.2, 0.2))
        assert (problem.kind, problem.rows, problem.fatal) == ("identical images with different labels", (2, 5), True)
        assert problem.message == "expected one label, got '2.png' (x) and '5.png' (y), which are the same image"

    def test_one_image_on_both_sides(self, data, tmp_path):
        parts = ["train"] * 12 + ["val"] * 4 + ["test"] * 4
        manifest = data(rows_of(20, split=parts.__getitem__), split_column="split")
        for i in (14, 18):
            (tmp_path / f"{i}.png").write_bytes((tmp_path / "0.png").read_bytes())
        inspection = inspect(manifest, 0.2, 0.2)
        problem = only(inspection)
        assert (problem.kind, problem.fatal) == ("identical images in different splits", True)
        assert problem.message.startswith("expected one split, got '0.png' (train), '14.png' (val) and '18.png' (test)")
        remaining, excluded = exclude(inspection)
        assert excluded.tolist() == [0, 14]
        assert remaining.problems == ()

    def test_one_group_on_both_sides(self, data):
        parts = ["train"] * 12 + ["val"] * 4 + ["test"] * 4
        rows = rows_of(20, split=parts.__getitem__, group=lambda i: "p" if i in (0, 1, 19) else f"g{i}")
        inspection = inspect(data(rows, split_column="split", group_column="group"), 0.2, 0.2)
        problem = only(inspection)
        assert (problem.kind, problem.rows, problem.fatal) == ("group in several splits", (), True)
        assert problem.message == "expected all images of group 'p' in one split, got 2 in train and 1 in test"
        assert exclude(inspection)[0].fatal == (problem,)

    def test_an_empty_part(self, data):
        manifest = data(rows_of(4, split=lambda i: "test"), split_column="split")
        assert [problem.message for problem in found(inspect(manifest, 0.2), "empty split")] == [
            "expected images for training, got none of 4 images",
            "expected images for validation, got none of 4 images",
        ]

    def test_too_few_groups_for_the_split(self, data):
        manifest = data(rows_of(9, group=lambda i: "one"), group_column="group")
        problems = found(inspect(manifest, 0.2, 0.2), "empty split")
        assert [problem.message for problem in problems] == [
            "expected images for validation, got none of 9 images in 1 group",
            "expected images for test, got none of 9 images in 1 group",
        ]

    def test_training_images_of_one_class(self, data):
        rows = rows_of(6, label=lambda i: "x" if i < 4 else "y", split=lambda i: "train" if i < 4 else "val")
        problem = found(inspect(data(rows, split_column="split"), 0.2), "too few classes")[0]
        assert problem.message == "expected training images of at least two classes, got only 'x'"


class TestSmallClasses:
    def test_one_image(self, data):
        problem = only(inspect(data(rows_of(21, label=lambda i: "rare" if i == 20 else "xy"[i % 2])), 0.2, 0.2))
        assert (problem.kind, problem.fatal) == ("class too small for the split", False)
        assert problem.message == "class 'rare' has 1 image: it goes to training, its scores cannot be measured"

    def test_two_images(self, data):
        problem = only(inspect(data(rows_of(22, label=lambda i: "rare" if i >= 20 else "xy"[i % 2])), 0.2, 0.2))
        assert problem.message == (
            "class 'rare' has 2 images: 1 for training, 0 for validation, 1 for test, "
            "its scores cannot be measured in validation"
        )

    def test_several_images_of_one_group(self, data):
        label, group = (lambda i: "rare" if i >= 20 else "xy"[i % 2]), (lambda i: "p" if i >= 20 else f"g{i}")
        problem = only(inspect(data(rows_of(24, label=label, group=group), group_column="group"), 0.2, 0.2))
        assert problem.message == (
            "class 'rare' has 4 images in 1 group: 4 for training, 0 for validation, 0 for test, "
            "its scores cannot be measured in validation and test"
        )

    def test_not_in_training(self, data):
        parts = ["train"] * 12 + ["val"] * 8
        rows = rows_of(20, label=lambda i: "rare" if i >= 18 else "xy"[i % 2], split=parts.__getitem__)
        problem = only(inspect(data(rows, split_column="split"), 0.2))
        assert problem.kind == "class without training images"
        assert problem.message == "class 'rare' has 2 images: 0 for training, 2 for validation, it cannot be learnt"

    def test_no_images(self, data):
        problem = only(inspect(data(rows_of(20), classes="x,y,z"), 0.2, 0.2))
        assert (problem.kind, problem.fatal) == ("class without images", False)
        assert problem.message == "class 'z' has no images: it cannot be learnt and has no scores"


@pytest.fixture
def everything_wrong(data, tmp_path):
    """A table with every problem of a row or an image at once, among 60 good rows."""
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    rows = rows_of(60, split=parts.__getitem__)
    rows += [
        ("60.png", "", "g60", "train"),  # no label
        ("61.png", "nan", "g61", "train"),  # no label
        ("62.png", "z", "g62", "train"),  # unknown label
        ("63.png", "x", "", "train"),  # no group
        ("64.png", "x", "g64", "holdout"),  # unknown split
        ("../65.png", "x", "g65", "train"),  # leaves the root
        ("/etc/passwd", "x", "g66", "train"),  # leaves the root
        ("0.png", "x", "g0", "train"),  # repeated
        ("1.png", "x", "g1", "train"),  # repeated with another label
        ("69.png", "x", "g69", "train"),  # missing
        ("70.png", "x", "g70", "train"),  # zero bytes
        ("71.png", "x", "g71", "train"),  # truncated
        ("72.png", "x", "g72", "train"),  # no image
        ("73.png", "y", "g73", "train"),  # the same image as 2.png, another label
        ("74.png", "x", "g74", "test"),  # the same image as 4.png, on the other side
        ("", "x", "g75", "train"),  # no path
        ("76.png", "x", "g59", "train"),  # a group on both sides
        ("77.png", "x", "g77", "train"),  # 32-bit pixels
        ("78.png", "single", "g78", "train"),  # a class with one image
    ]
    manifest = data(rows, classes="x,y,single,none", group_column="group", split_column="split")
    (tmp_path / "69.png").unlink()
    (tmp_path / "70.png").write_bytes(b"")
    (tmp_path / "71.png").write_bytes((tmp_path / "71.png").read_bytes()[:50])
    (tmp_path / "72.png").write_text("hello")
    (tmp_path / "73.png").write_bytes((tmp_path / "2.png").read_bytes())
    (tmp_path / "74.png").write_bytes((tmp_path / "4.png").read_bytes())
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "77.png", "TIFF")
    return inspect(manifest, 0.2, 0.2)


ALL_KINDS = {
    "class too small for the split",
    "class without images",
    "damaged image",
    "empty file",
    "identical images with different labels",
    "missing file",
    "no group",
    "no image path",
    "no label",
    "not an image",
    "group in several splits",
    "identical images in different splits",
    "path outside the image root",
    "repeated image",
    "unknown label",
    "unknown pixel range",
    "unknown split",
}


class TestEverythingWrong:
    def test_all_of_it_is_found(self, everything_wrong):
        assert {problem.kind for problem in everything_wrong.problems} == ALL_KINDS
        assert len(everything_wrong.fatal) == 18
        assert len(everything_wrong.warnings) == 2
        text = str(DataError(everything_wrong.problems))
        assert "no label (2)" in text
        assert "labels.csv line 69: 0.png again, as in labels.csv line 2" in text

    def test_what_can_be_left_out_is_left_out(self, everything_wrong):
        remaining, excluded = exclude(everything_wrong)
        assert excluded.tolist() == [1, 2, 4, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 75, 77]
        assert len(remaining.manifest) == 60
        assert [problem.kind for problem in remaining.fatal] == ["group in several splits"]
        assert remaining.manifest.images.names[0] == "0.png"
        assert remaining.manifest.images.read(1).shape == everything_wrong.manifest.images.read(3).shape
        assert remaining.digests[1] == everything_wrong.digests[3] == remaining.manifest.images.digest(1)

    def test_it_is_shown(self, everything_wrong):
        lines = shown(everything_wrong)
        assert all(any(line.startswith(f"{kind} (") for line in lines) for kind in ALL_KINDS)
        assert lines[-1] == "18 problems, 2 warnings"


def test_nothing_left(data, tmp_path):
    inspection = inspect(data(rows_of(3), write=False), 0.2)
    with pytest.raises(DataError, match=r"missing file \(3\)"):
        exclude(inspection)


def shown(inspection):
    console = Console(record=True, width=200, file=io.StringIO())
    show(inspection, console)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_good_data_set_is_shown(data):
    lines = shown(inspect(data(rows_of(20, label=lambda i: f"[{i % 2}]"), group_column="group"), 0.2, 0.2))
    assert lines[0].split() == ["class", "images", "share", "train", "val", "test"]
    assert lines[1].split() == ["[0]", "10", "50.0%", "█" * 20, "6", "2", "2"]
    assert lines[3].split() == ["all", "20", "12", "4", "4"]
    assert "groups  20, of 1 image each" in lines
    assert "sizes   8 × 6 (7), 9 × 6 (7), 10 × 6 (6)" in lines
    assert "split   planned by class, no group divided: 0.2 for validation, 0.2 for test, seed 0" in lines
    assert lines[-1] == "no problems"


@pytest.mark.parametrize(
    ("parts", "val_fraction", "text"),
    [
        (None, None, "none"),
        (["train"] * 12 + ["val"] * 8, 0.2, "as given"),
        (["train"] * 12 + ["test"] * 8, 0.2, "planned by class: 0.2 for validation out of the given training split, seed 0"),
        (["train"] * 20, 0.2, "planned by class: 0.2 for validation, 0.1 for test, seed 0"),
    ],
)
def test_the_origin_of_the_split_is_shown(data, parts, val_fraction, text):
    settings = {"split_column": "split"} if parts else {}
    rows = rows_of(20, split=parts.__getitem__ if parts else lambda i: "")
    assert f"split   {text}" in shown(inspect(data(rows, **settings), val_fraction, 0.1))


def test_many_sizes_and_no_sizes_are_shown(data, tmp_path):
    manifest = data(rows_of(6))
    for i in range(6):
        Image.new("RGB", (10 + i, 20 + i)).save(tmp_path / f"{i}.png")
    sizes = "sizes   10 × 20 (1), 11 × 21 (1), 12 × 22 (1) and 3 more, 10 to 15 wide, 20 to 25 high"
    assert sizes in shown(inspect(manifest, 0.3))
    for i in range(6):
        (tmp_path / f"{i}.png").unlink()
    assert "sizes   no image could be read" in shown(inspect(manifest, 0.3))


def test_real_photographs(test_data, tmp_path):
    ham = test_data("ham10000-128")
    lines = (ham / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join(lines[:101]))
    with zipfile.ZipFile(ham / "images.zip") as archive:
        for line in lines[1:101]:
            name = line.split(",")[0]
            member = next(path for path in (name, f"images/{name}") if path in archive.namelist())
            (tmp_path / name).write_bytes(archive.read(member))
    settings = DataSettings(data=str(tmp_path / "labels.csv"), label_column="dx", group_column="lesion_id")
    inspection = inspect(load(settings), 0.2, 0.2)
    assert inspection.fatal == ()
    assert inspection.sizes == [((128, 128), 100)]


class TestManyImages:
    def test_an_image_that_several_rows_name_is_opened_once(self, data, monkeypatch):
        rows = rows_of(12)
        rows += [rows[3], rows[3], ("gone.png", "x", "g", "train"), ("gone.png", "x", "g", "train")]
        manifest = data(rows[:-2])
        manifest = data(rows, write=False)
        opened, read = [], FileImages._bytes
        monkeypatch.setattr(FileImages, "_bytes", lambda images, index: opened.append(images.key(index)) or read(images, index))
        inspection = inspect(manifest, None)
        assert sorted(opened) == sorted({name for name, *_ in rows})
        assert inspection.digests[3] == inspection.digests[12] == inspection.digests[13] != ""
        assert inspection.shapes[[3, 12, 13]].tolist() == [[6, 8]] * 3
        assert [problem.rows for problem in found(inspection, "missing file")] == [(14,), (15,)]

    def test_processes_find_the_same(self, data, monkeypatch):
        rows = rows_of(12)
        manifest = data([*rows, ("gone.png", "x", "g", "train")])
        (Path(manifest.images.origin) / "gone.png").unlink()
        (Path(manifest.images.origin) / "5.png").write_bytes(b"no image")
        expected = inspect(manifest, 0.2, 0.2)
        monkeypatch.setattr("balanced_mixup.data.inspection._MANY", 3)
        monkeypatch.setattr("balanced_mixup.data.inspection._CHUNK", 5)
        monkeypatch.setattr(FileImages, "_bytes", lambda *arguments: pytest.fail("opened in this process"))
        inspection = inspect(manifest, 0.2, 0.2)
        assert inspection.problems == expected.problems
        assert {problem.kind for problem in inspection.problems} >= {"missing file", "not an image"}
        assert inspection.digests == expected.digests
        assert np.array_equal(inspection.shapes, expected.shapes)
