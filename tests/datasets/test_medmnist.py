"""MedMNIST through its package and from local npz files, whose images are noise here."""

import csv

import numpy as np
import pytest

from balanced_mixup.data.images import load_rgb
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.datasets.prepare import prepare_dataset
from balanced_mixup.errors import DataError, RunError, UsageError

medmnist = pytest.importorskip("medmnist")
PARTS = {"train": 12, "val": 5, "test": 7}


def write_npz(path, size=28, classes=2, channels=()):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in PARTS.items():
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, size, size, *channels), np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % classes).reshape(-1, 1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return arrays


@pytest.mark.parametrize(("name", "size", "channels"), [("pneumoniamnist", 28, ()), ("dermamnist", 64, (3,))])
def test_an_npz_becomes_a_folder_with_the_same_pixels(tmp_path, name, size, channels):
    file = name + ("" if size == 28 else f"_{size}") + ".npz"
    arrays = write_npz(tmp_path / "npz" / file, size, len(medmnist.INFO[name]["label"]), channels)
    prepared = prepare_dataset(name, tmp_path / "npz", tmp_path / "out", size=size, jobs=1)
    assert prepared.to_dict()["images"] == PARTS
    # The file is not the published one, and that is said.
    assert {finding.kind for finding in prepared.discrepancies} == {"label count"}
    published = medmnist.INFO[name]["n_samples"]["train"]
    assert prepared.discrepancies[0].message == f"train: expected {published} images, got 12"
    with (tmp_path / "out" / "labels.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert rows[0] == {"image": "images/train_00000.png", "label": "0", "split": "train"}
    for part, n in PARTS.items():
        for i in range(n):
            pixels = arrays[f"{part}_images"][i]
            expected = pixels if channels else np.repeat(pixels[..., None], 3, -1)
            assert (load_rgb(tmp_path / "out" / "images" / f"{part}_{i:05d}.png") == expected).all()
    manifest = load(DataSettings(data=str(tmp_path / "out")))
    assert [len(manifest.rows(part)) for part in PARTS] == list(PARTS.values())
    assert manifest.classes == tuple(medmnist.INFO[name]["label"])
    assert manifest.problems == ()


def test_the_npz_itself_can_be_named(tmp_path):
    write_npz(tmp_path / "mine.npz")
    assert prepare_dataset("breastmnist", tmp_path / "mine.npz", tmp_path / "out", jobs=1).new == sum(PARTS.values())


def test_another_size_than_the_files(tmp_path):
    write_npz(tmp_path / "pneumoniamnist_64.npz", 28)
    with pytest.raises(DataError, match="expected images of 64 x 64 pixels, got 28 x 28"):
        prepare_dataset("pneumoniamnist", tmp_path, tmp_path / "out", size=64)
    with pytest.raises(UsageError, match="Expected --size to be one of 28, 64, 128, 224 for pneumoniamnist, but got 512"):
        prepare_dataset("pneumoniamnist", tmp_path, tmp_path / "out", size=512)


def test_labels_beyond_the_classes(tmp_path):
    write_npz(tmp_path / "pneumoniamnist.npz", classes=3)
    with pytest.raises(DataError, match="expected one of 0, 1; got '2'"):
        prepare_dataset("pneumoniamnist", tmp_path, tmp_path / "out")


def test_no_such_npz(tmp_path):
    with pytest.raises(UsageError, match=r"Expected --root to be bloodmnist_64\.npz or a folder with it, but there is no"):
        prepare_dataset("bloodmnist", tmp_path, tmp_path / "out", size=64)


def test_without_a_root_the_package_fetches_it(tmp_path, monkeypatch):
    def download_url(url, root, filename, md5):
        assert url == medmnist.INFO["octmnist"]["url_64"]
        write_npz(tmp_path / filename, 64, 4)

    monkeypatch.setattr(medmnist.info, "DEFAULT_ROOT", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.utils.download_url", download_url)
    assert prepare_dataset("octmnist", None, tmp_path / "out", size=64, jobs=1).new == sum(PARTS.values())


def test_a_network_that_fails_is_said(tmp_path, monkeypatch):
    def download_url(url, root, filename, md5):
        raise OSError("no route to host")

    monkeypatch.setattr(medmnist.info, "DEFAULT_ROOT", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.utils.download_url", download_url)
    with pytest.raises(
        RunError, match=r"OCTMNIST of 28 px could not be downloaded to .*Check the network.*pass it with --root"
    ):
        prepare_dataset("octmnist", None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
