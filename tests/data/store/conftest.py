"""Images with a store, of which everything that is done with them is known."""

import time

import pytest
from watched import NAMES, Watched, read, write


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    for seed, name in enumerate(NAMES):
        write(tmp_path / "images" / name, seed)
    return tmp_path / "images"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def watched(root, tmp_path):
    """Return a function that gives the images of some names, all if not given."""
    return lambda names=NAMES, **options: Watched(root, list(names), tmp_path / "journal", **options)


@pytest.fixture
def later(monkeypatch):
    """Let ten seconds pass: the files have not changed lately."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)


@pytest.fixture
def stored(watched, cache, later):
    """Images that are all in the store."""
    images = watched()
    read(images, cache)
    images.work()
    return images
