"""Processes that are killed, that share a store, or that fill it together."""

import errno
import logging
import os
import random
import signal
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from filelock import FileLock, Timeout
from watched import NAMES, SIZE, SOME, decoded, disk_of, fork, fresh, read, store_of, used_bytes, wait_until, write

from balanced_mixup.data import store as store_module
from balanced_mixup.data import store_writer
from balanced_mixup.data.cached_stores import cached_stores, damaged_images
from balanced_mixup.data.images import ArrayImages, FileImages, stamp_of
from balanced_mixup.data.store import Store, StoredImages
from balanced_mixup.data.store_format import locked
from balanced_mixup.errors import DataError, RunError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def killed(process, images, count, pause):
    """Start `process`, and kill it when it has begun to decode `count` images and `pause` seconds have passed."""
    process.start()
    wait_until(lambda: process.exitcode is not None or len(images.so_far()) >= count)
    time.sleep(pause)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_killed_at_any_moment_and_started_again(watched, root, cache, later, monkeypatch):
    monkeypatch.setattr(store_writer, "_FLUSH_SECONDS", 0.01)
    names = [write(root / f"{seed}.bmp", seed).name for seed in range(40)]
    images, moments = watched(names, pause=0.004), random.Random(0)
    store, indexed, kills = store_of(images, cache), [set()], 0
    for _ in range(12):
        process = fork.Process(target=read, args=(images, cache, SIZE, 2))
        kills += killed(process, images, moments.randrange(1, 12), moments.uniform(0, 0.01))
        assert not set(images.work()) & set(decoded(*indexed[-1]))
        index = store.index()
        indexed.append(set(index))
        if index:
            stored = StoredImages(store, some := FileImages(root, list(index)), index)
            assert stored.complete()
            for row in range(len(index)):
                stored.scan(row)
            assert damaged_images(store.folder, index) == set()
            np.testing.assert_array_equal(stored.pixels().gather(np.arange(len(index))), fresh(some))
    assert kills >= 4
    assert len(indexed[4]) > 5  # it gets on
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == decoded(*set(names) - indexed[-1])


@pytest.mark.parametrize("indexed", [0, 2])
def test_going_on_needs_no_more_room_than_what_a_killed_build_reserved(watched, cache, monkeypatch, indexed):
    images, size = watched(), 300
    monkeypatch.setattr(store_writer, "_FLUSH_SECONDS", 0 if indexed else 99)
    ends = watched(before=lambda name: name == "c.bmp" and os.kill(os.getpid(), signal.SIGKILL))
    process = fork.Process(target=read, args=(ends, cache, size))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(store_of(images, cache, size).index()) == indexed
    assert used_bytes(cache) >= 6 * size * size * 3
    disk_of(monkeypatch, cache, 6 * size * size * 3 + SOME)
    np.testing.assert_array_equal(read(images, cache, size), fresh(images, size))


@contextmanager
def building(images, cache_dir):
    """Hold the store of `images` open in a process that adds the first of them; yield the event at which it ends."""
    begun, may_end = fork.Event(), fork.Event()

    def build():
        with store_of(images, cache_dir).opened_for(images) as opened:
            opened.scan(0)
            begun.set()
            may_end.wait()

    process = fork.Process(target=build)
    process.start()
    assert begun.wait(30)
    try:
        yield may_end
    finally:
        may_end.set()
        process.join(30)
        assert process.exitcode == 0


def test_processes_that_begin_at_once(watched, cache, tmp_path, later):
    """One adds the images, the others say that they wait for it, and none is decoded twice."""
    images, together = watched(pause=0.05), fork.Barrier(3)

    def build(number):
        log = logging.getLogger("balanced_mixup")
        log.setLevel(logging.INFO)
        log.addHandler(logging.FileHandler(tmp_path / f"{number}.log"))
        together.wait(30)
        np.save(tmp_path / f"{number}.npy", read(images, cache))

    processes = [fork.Process(target=build, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    logs = "".join((tmp_path / f"{number}.log").read_text() for number in range(3))
    waits = f"Another process is adding images to {store_of(images, cache).folder}; waiting until it is done."
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert logs.count(waits) == 2
    assert logs.count("Storing decoded images in") == 1
    assert images.work() == decoded(*NAMES)
    for number in range(3):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), fresh(images))


def test_what_is_complete_is_read_while_others_add_to_it(stored, watched, root, cache, caplog):
    write(root / "new.bmp", 60)
    with building(watched(["new.bmp"]), cache):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert "waiting" not in caplog.text
    assert stored.work() == decoded("new.bmp")


def test_a_store_that_is_cleared_while_it_is_in_use(stored, cache):
    with store_of(stored, cache).opened_for(stored) as opened:
        for row in range(len(stored)):
            opened.scan(row)
        pixels = opened.pixels()
        cached_stores(cache)[0].remove()
    np.testing.assert_array_equal(pixels.gather(np.arange(len(stored))), fresh(stored))


@pytest.mark.parametrize("again", [False, True], ids=["cleared", "made-anew"])
def test_a_store_that_is_cleared_while_it_is_opened(stored, cache, again):
    with store_of(stored, cache).opened_for(stored) as opened:
        for row in range(len(stored)):
            opened.scan(row)
        cached_stores(cache)[0].remove()
        if again:  # in another order
            read(stored.subset(np.arange(len(stored))[::-1]), cache)
    np.testing.assert_array_equal(opened.pixels().gather(np.arange(len(stored))), fresh(stored))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_that_is_made_anew_while_its_index_is_read(stored, cache, monkeypatch, when):
    index, calls = Store.index, []

    def index_beside_another_process(store):
        calls.append(store)
        found = index(store) if when == "after" or len(calls) > 1 else None
        if len(calls) == 1:
            cached_stores(cache)[0].remove()
            read(stored.subset(np.arange(len(stored))[::-1]), cache)
        return index(store) if found is None else found

    monkeypatch.setattr(Store, "index", index_beside_another_process)
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))


def test_a_store_that_is_added_to_is_not_cleared(stored, watched, root, cache):
    write(root / "new.bmp", 60)
    with building(watched(["new.bmp"]), cache), pytest.raises(RunError, match="was kept: another process is adding images"):
        cached_stores(cache)[0].remove()
    images = watched([*NAMES, "new.bmp"])
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == decoded("new.bmp")


def test_a_store_that_is_cleared_while_another_process_waits_for_it(stored, watched, root, cache, monkeypatch):
    write(root / "new.bmp", 60)
    images, acquire, tries = watched([*NAMES, "new.bmp"]), FileLock.acquire, []

    def clear_before_the_second_try(lock, *arguments, **options):
        tries.append(lock)
        if len(tries) == 2:
            ends.set()
            wait_until(lambda: cleared())
        return acquire(lock, *arguments, **options)

    def cleared():
        with suppress(RunError):
            cached_stores(cache)[0].remove()
        return not cached_stores(cache)

    with building(watched(["new.bmp"]), cache) as ends:
        monkeypatch.setattr(FileLock, "acquire", clear_before_the_second_try)
        np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_a_process_that_begins_while_the_store_is_cleared_has_it_for_itself(stored, cache, monkeypatch):
    """Whoever comes next must meet its lock: two that add at once would overwrite each other's pixels."""
    release, opened = FileLock.release, []

    def release_and_let_the_next_one_in(lock, *arguments, **options):
        release(lock, *arguments, **options)
        if not opened:
            opened.append(locked(store_of(stored, cache).folder))
            opened[0].__enter__()

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "release", release_and_let_the_next_one_in)
        cached_stores(cache)[0].remove()
    with pytest.raises(Timeout):
        FileLock(next(cache.rglob("*lock"))).acquire(timeout=0)
    opened[0].__exit__(None, None, None)


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Thirty images, which count as many, the seventh of them cut off."""
    monkeypatch.setattr(store_module, "_MANY", 20)
    monkeypatch.setattr(store_module, "_CHUNK", 8)
    (tmp_path / "many").mkdir()
    names = [f"{row:02}.bmp" for row in range(30)]
    for row, name in enumerate(names):
        write(tmp_path / "many" / name, row)
    os.truncate(tmp_path / "many" / "07.bmp", 60)
    return FileImages(tmp_path / "many", names)


def readable(images):
    return FileImages(images._root, [name for name in images.names if name != "07.bmp"])


def test_many_images_are_decoded_by_processes_to_the_same_pixels(many, cache, later):
    with Store.under(cache, many.origin, SIZE).opened_for(many) as stored:
        assert len(stored._index) == 29  # before anything was scanned
        with pytest.raises(DataError, match=r"07\.bmp"):
            stored.scan(7)
        rows = [row for row in range(30) if row != 7]
        scans = [stored.scan(row) for row in rows]
    good = readable(many)
    np.testing.assert_array_equal(stored.pixels().gather(np.array(rows)).numpy(), fresh(good))
    assert [scan.digest for scan in scans] == [good.digest(row) for row in range(29)]
    np.testing.assert_array_equal(read(good, cache), fresh(good))


def test_a_disk_that_is_full_for_a_process_is_an_error_with_the_remedies(many, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "decode_into", full)
    with pytest.raises(RunError, match="cannot be written"), Store.under(cache, many.origin, SIZE).opened_for(many):
        pass
    monkeypatch.undo()
    np.testing.assert_array_equal(read(readable(many), cache), fresh(readable(many)))


def test_arrays_are_sent_to_processes_too(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(store_module, "_MANY", 20)
    (tmp_path / "file.npz").write_bytes(b"x")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 7, 3), np.uint8)
    images = ArrayImages([str(row) for row in range(40)], pixels, tmp_path / "file.npz", stamp_of(tmp_path / "file.npz"))
    expected = np.stack([images.scan(row, SIZE).pixels for row in range(40)])
    np.testing.assert_array_equal(read(images, cache), expected)
