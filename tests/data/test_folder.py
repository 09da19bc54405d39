"""Folders: of classes, of splits and classes, and of images without labels."""

from pathlib import Path

import pytest
from PIL import Image

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.sources.unlabelled import unlabelled
from balanced_mixup.errors import DataError


def make(root, *files):
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg"):
            Image.new("RGB", (2, 2)).save(path)
        else:
            path.write_text("text")


def read(root, **settings):
    return load(DataSettings(data=str(root), **settings))


class TestClasses:
    def test_class_folders(self, tmp_path):
        make(tmp_path, "nv/a.png", "nv/deep/b.png", "mel/a.png", ".hidden/a.png", "mel/.b.png")
        manifest = read(tmp_path)
        assert list(manifest.images.names) == ["mel/a.png", "nv/a.png", "nv/deep/b.png"]
        assert manifest.classes == ("mel", "nv")
        assert manifest.labels.tolist() == [0, 1, 1]
        assert manifest.split is None
        assert manifest.problems == ()
        assert manifest.images.read(2).shape == (2, 2, 3)

    def test_numbers_label_map_and_declared_classes(self, tmp_path):
        make(tmp_path, "10/a.png", "2/a.png")
        assert read(tmp_path).classes == ("2", "10")
        assert read(tmp_path, label_map={"10": "x", "2": "y"}, classes="y,x").labels.tolist() == [1, 0]

    def test_an_unknown_class(self, tmp_path):
        make(tmp_path, "nv/a.png", "mel/a.png", "mell/b.png")
        (problem,) = read(tmp_path, classes="mel,nv").problems
        assert problem.message == "mell/b.png: expected one of mel, nv; got 'mell'. Did you mean 'mel'?"
        assert problem.rows == (1,)

    def test_splits_above_classes(self, tmp_path):
        make(tmp_path, "train/x/a.png", "train/y/a.png", "Validation/x/a.png", "test/y/a.png")
        manifest = read(tmp_path)
        assert dict(zip(manifest.images.names, manifest.split.tolist(), strict=True)) == {
            "train/x/a.png": "train",
            "train/y/a.png": "train",
            "Validation/x/a.png": "val",
            "test/y/a.png": "test",
        }
        assert manifest.classes == ("x", "y")

    def test_a_class_may_be_called_like_a_split(self, tmp_path):
        make(tmp_path, "valid/a.png", "invalid/a.png")
        manifest = read(tmp_path)
        assert manifest.classes == ("invalid", "valid")
        assert manifest.split is None

    def test_what_is_left_out_is_named(self, tmp_path):
        make(tmp_path, "x/a.png", "y/a.png", "y/notes.txt", "stray.png", "README")
        (tmp_path / "empty").mkdir()
        manifest = read(tmp_path)
        assert manifest.classes == ("x", "y")
        assert not any(problem.fatal for problem in manifest.problems)
        assert {(problem.kind, problem.message) for problem in manifest.problems} == {
            ("not an image by its extension", "README is left out"),
            ("not an image by its extension", "y/notes.txt is left out"),
            ("image without a class folder", "stray.png is left out"),
            ("empty class folder", "empty: expected images of a class, got none"),
        }

    def test_files_beside_the_splits_are_named(self, tmp_path):
        make(tmp_path, "train/x/a.png", "train/y/a.png", "labels.csv", "train/notes.txt")
        assert [problem.message for problem in read(tmp_path).problems] == [
            "labels.csv is left out",
            "train/notes.txt is left out",
        ]

    def test_no_class_folders(self, tmp_path):
        make(tmp_path, "a.png")
        with pytest.raises(DataError, match=r"no images in class folders[\s\S]*DIR/<class>/image.jpg, or DIR/train/<class>/"):
            read(tmp_path)

    def test_splits_beside_classes(self, tmp_path):
        make(tmp_path, "train/x/a.png", "y/a.png")
        with pytest.raises(DataError, match="expected only splits or only classes, got 'train' beside 'y'"):
            read(tmp_path)

    def test_links_that_lead_back_or_nowhere(self, tmp_path):
        make(tmp_path, "x/a.png", "y/a.png")
        (tmp_path / "self").symlink_to("self")
        (tmp_path / "x" / "up").symlink_to(".")
        (tmp_path / "y" / "self.png").symlink_to("self.png")
        manifest = read(tmp_path)
        assert list(manifest.images.names) == ["x/a.png", "y/a.png", "y/self.png"]
        (ignored,) = manifest.problems
        assert ignored.message == "self is left out"
        with pytest.raises(DataError, match=r"self\.png: a link that leads to no file|loop|Too many levels"):
            manifest.images.read(2)

    def test_one_class(self, tmp_path):
        make(tmp_path, "x/a.png")
        (problem,) = read(tmp_path).problems
        assert problem.fatal
        assert problem.message == "expected at least two classes, got 'x'"


class TestUnlabelled:
    def test_files_and_folders(self, tmp_path, monkeypatch):
        make(tmp_path, "one.png", "dir/b.png", "dir/a/c.png", "dir/notes.txt", "dir/.hidden.png")
        monkeypatch.chdir(tmp_path)
        images = unlabelled([Path("one.png"), Path("dir")])
        assert list(images.names) == ["one.png", "dir/a/c.png", "dir/b.png"]
        assert images.read(1).shape == (2, 2, 3)

    def test_absolute_paths(self, tmp_path):
        make(tmp_path, "a.png")
        assert unlabelled([tmp_path]).read(0).shape == (2, 2, 3)

    def test_everything_wrong_is_said_at_once(self, tmp_path):
        make(tmp_path, "dir/a.png", "empty/notes.txt")
        paths = [tmp_path / "gone", tmp_path / "empty", tmp_path / "dir", tmp_path / "dir" / "a.png"]
        with pytest.raises(DataError) as error:
            unlabelled(paths)
        text = str(error.value)
        assert "gone: no such file or folder" in text
        assert "empty: expected a folder with images, found none in it" in text
        assert f"{paths[3]} is the same file as {paths[3]}" in text

    def test_links_that_lead_back(self, tmp_path):
        make(tmp_path, "dir/a.png")
        (tmp_path / "dir" / "up").symlink_to("..")
        (tmp_path / "dir" / "self.png").symlink_to("self.png")
        images = unlabelled([tmp_path])
        assert [name.removeprefix(str(tmp_path)) for name in images.names] == ["/dir/a.png", "/dir/self.png"]
        with pytest.raises(DataError, match=r"self\.png: a link that leads to no file|loop|Too many levels"):
            images.read(1)

    def test_no_paths(self):
        with pytest.raises(DataError, match="expected images, got no paths"):
            unlabelled([])
