"""What several test files share: small data made on the spot, and the real data where they are at hand."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _cache_dir(tmp_path_factory):
    """Keep the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BMIXUP_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def blobs(tmp_path_factory):
    """A folder with 90 small images in three classes (60/20/10) that a tiny model can tell apart, and labels.csv.

    Columns: image, label (red, green or blue), patient (two images each).
    """
    folder = tmp_path_factory.mktemp("blobs")
    rng = np.random.default_rng(0)
    lines = ["image,label,patient"]
    labels = ["red"] * 60 + ["green"] * 20 + ["blue"] * 10
    for number, label in enumerate(labels):
        pixels = rng.integers(0, 120, (40, 40, 3), dtype=np.uint8)
        pixels[8:32, 8:32, ("red", "green", "blue").index(label)] += 120
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
        lines.append(f"{number:03}.png,{label},p{number // 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny(blobs):
    """Settings of a training that takes seconds."""
    return {
        "data": str(blobs / "labels.csv"),
        "group_column": "patient",
        "backbone": "test_efficientnet",
        "weights": "none",
        "size": 32,
        "batch_size": 8,
        "epochs": 3,
        "val_fraction": 0.2,
        "learning_rate": 3e-3,
        "accelerator": "cpu",
    }


@pytest.fixture(scope="session")
def tiny_run(tiny, tmp_path_factory):
    """A finished run of `tiny` with Balanced-MixUp."""
    from balanced_mixup import train

    return train(tiny, out=tmp_path_factory.mktemp("runs") / "tiny").folder.path


@pytest.fixture(scope="session")
def real_data(tmp_path_factory):
    """Function from the name of a real data set to its unpacked folder (images/ and labels.csv); skips where it is absent."""
    unpacked = tmp_path_factory.mktemp("real")

    def folder(name):
        source = SHARED / name
        if not source.is_dir():
            pytest.skip(f"needs the real data in ../shared/data/{name}, which are not part of the project")
        target = unpacked / name
        if not target.exists() and (source / "images.zip").exists():
            with zipfile.ZipFile(source / "images.zip") as archive:
                archive.extractall(target / "images")
            (target / "labels.csv").write_bytes((source / "labels.csv").read_bytes())
        return target if target.exists() else source

    return folder
