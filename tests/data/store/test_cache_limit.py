"""The bound on the cache: what is deleted before images are stored, and what never is."""

import json
import logging
import os
import shutil

import numpy as np
import pytest
from watched import SIZE, fork, fresh, read, scan_all, store_of, write

from balanced_mixup.data.cache_limit import parse_bytes
from balanced_mixup.data.cached_stores import cached_stores
from balanced_mixup.data.images import FileImages
from balanced_mixup.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("512", 512), ("20GB", 20 * 10**9), ("20 gb", 20 * 10**9), ("1.5GiB", 3 * 2**29), ("500M", 5 * 10**8),
     (" 2TiB ", 2**41), ("3k", 3000)],
)  # fmt: skip
def test_sizes(text, count):
    assert parse_bytes(text, "--limit") == count


@pytest.mark.parametrize("text", ["", "GB", "-3GB", "20%", "20 GBs", "1e9", "inf", "20GB of it"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match=r"Expected --limit to be a size such as 20GB or 500MiB, but got '.*'\."):
        parse_bytes(text, "--limit")


@pytest.fixture
def folders(tmp_path, cache):
    """Four folders of an image; the first three have been stored, in their order."""
    images = []
    for number in range(4):
        (tmp_path / f"{number}").mkdir()
        write(tmp_path / f"{number}" / "a.bmp", number)
        images.append(FileImages(tmp_path / f"{number}", ["a.bmp"]))
    for number in range(3):
        read(images[number], cache)
        os.utime(store_of(images[number], cache).folder / "store.json", (number, number))
    return images


def kept(cache):
    return sorted(store.origin[-1] for store in cached_stores(cache))


def limited(monkeypatch, cache, extra=1):
    """Limit the cache to what it takes, and `extra` bytes."""
    monkeypatch.setenv("BMIXUP_CACHE_LIMIT", str(sum(store.disk_bytes for store in cached_stores(cache)) + extra))


def test_the_least_recently_used_store_makes_room_for_a_new_one(folders, cache, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "balanced_mixup")
    limited(monkeypatch, cache)
    np.testing.assert_array_equal(read(folders[3], cache), fresh(folders[3]))
    assert kept(cache) == ["1", "2", "3"]
    assert f"Deleted the decoded images of {folders[0].origin} at {SIZE} px (" in caplog.text
    assert "), the least recently used ones, as the cache is full." in caplog.text


def test_nothing_is_deleted_while_there_is_room(folders, cache, monkeypatch):
    limited(monkeypatch, cache, extra=SIZE * SIZE * 3)
    read(folders[3], cache)
    monkeypatch.setenv("BMIXUP_CACHE_LIMIT", "0")
    read(folders[0], cache)  # nothing is added
    assert kept(cache) == ["0", "1", "2", "3"]


def test_a_store_that_is_read_or_added_to_is_kept(folders, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("BMIXUP_CACHE_LIMIT", "0")
    begun, may_end = fork.Event(), fork.Event()

    def add():
        write(tmp_path / "1" / "new.bmp", 9)
        images = FileImages(tmp_path / "1", ["new.bmp"])
        monkeypatch.setenv("BMIXUP_CACHE_LIMIT", "1GB")
        with store_of(images, cache).opened_for(images):
            begun.set()
            may_end.wait()

    pixels = scan_all(folders[0], cache)[0].pixels()
    adding = fork.Process(target=add)
    adding.start()
    begun.wait()
    read(folders[3], cache)
    assert kept(cache) == ["0", "1", "3"]
    may_end.set()
    adding.join()
    np.testing.assert_array_equal(pixels.gather(np.arange(1)), fresh(folders[0]))
    del pixels
    read(folders[2], cache)
    assert kept(cache) == ["2"]


def test_half_of_the_disk_without_a_limit(folders, cache, monkeypatch):
    """As much stays free as the stores take."""
    taken, usage = sum(store.disk_bytes for store in cached_stores(cache)), shutil.disk_usage(cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=taken + 4 * SIZE * SIZE * 3))
    read(folders[3], cache)
    assert kept(cache) == ["0", "1", "2", "3"]
    taken = sum(store.disk_bytes for store in cached_stores(cache))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=taken - 1))
    write(cache.parent / "3" / "b.bmp", 9)
    read(FileImages(cache.parent / "3", ["b.bmp"]), cache)
    assert kept(cache) == ["1", "2", "3"]


def test_a_limit_that_is_none_is_said_before_anything_is_decoded(watched, cache, monkeypatch):
    monkeypatch.setenv("BMIXUP_CACHE_LIMIT", "much")
    images = watched()
    with pytest.raises(UsageError, match="Expected the environment variable BMIXUP_CACHE_LIMIT to be a size such as 20GB"):
        read(images, cache)
    assert images.work() == []
    monkeypatch.delenv("BMIXUP_CACHE_LIMIT")
    np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_a_store_of_an_earlier_version_is_replaced(stored, cache, caplog):
    """Its pixels may be those of other images."""
    caplog.set_level(logging.INFO, "balanced_mixup")
    folder = store_of(stored, cache).folder
    header = json.loads((folder / "store.json").read_text())
    for name, change in {"old": {"format": 1}, "other": {"format": 1, "size": 99}}.items():
        (cache / name).mkdir()
        (cache / name / "store.json").write_text(json.dumps(header | change))
        (cache / name / "pixels.bin").write_bytes(b"\0" * 999)
        (cache / name / "index.jsonl").touch()
    cached_stores(cache)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {folder.name, "other"}
    assert f"{cache / 'old'} is of an earlier version and may hold wrong pixels: its images are decoded again." in caplog.text
