"""What several test files share: small data made on the spot, the real data if there are any, and the settings of pytest."""

import os
import zipfile
from collections import Counter
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

# Neither the speed nor the load of the machine decides whether a test passes.
hypothesis.settings.register_profile(
    "balanced-mixup", max_examples=50, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("balanced-mixup")


def pytest_terminal_summary(terminalreporter):
    """Print in one line what was skipped and why."""
    skipped = (report.longrepr for report in terminalreporter.stats.get("skipped", ()))
    reasons = Counter(where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where) for where in skipped)
    if reasons:
        terminalreporter.write_line("Skipped: " + "; ".join(f"{count} {reason}" for reason, count in reasons.most_common()))


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
def forkserver():
    """Context whose processes are forked from a server that has imported all that a command needs."""
    import multiprocessing

    from balanced_mixup.benchmark.job import COMPUTING

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["balanced_mixup.benchmark.engine", *COMPUTING, "captum.attr"])
    return context


@pytest.fixture(scope="session")
def tiny_run(tiny, tmp_path_factory):
    """A finished run of `tiny` with Balanced-MixUp."""
    from balanced_mixup import train

    return train(tiny, out=tmp_path_factory.mktemp("runs") / "tiny").folder.path


@pytest.fixture(scope="session")
def test_data():
    """Function from a path in the folder of real data, `$BMIXUP_TEST_DATA` or ../shared/data, to it; skips if it is absent."""
    root = Path(os.environ.get("BMIXUP_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")

    def find(*path):
        if not (found := root.joinpath(*path)).exists():
            pytest.skip("without real data in $BMIXUP_TEST_DATA or ../shared/data")
        return found

    return find


@pytest.fixture(scope="session")
def published_labels(test_data):
    """The folder with the label files of the data sets as they were published."""
    return test_data("labels")


@pytest.fixture(scope="session")
def real_data(test_data, tmp_path_factory):
    """Function from the name of a real data set to its unpacked folder (images/ and labels.csv); skips if it is absent."""
    unpacked = tmp_path_factory.mktemp("real")

    def folder(name):
        source, target = test_data(name), unpacked / name
        if not target.exists() and (source / "images.zip").exists():
            with zipfile.ZipFile(source / "images.zip") as archive:
                archive.extractall(target / "images")
            (target / "labels.csv").write_bytes((source / "labels.csv").read_bytes())
        return target if target.exists() else source

    return folder
