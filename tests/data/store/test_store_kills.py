"""A process that adds images is killed before each of its writes: what it leaves is right, and the next one goes on."""

import os
import signal

import numpy as np
import pytest
from watched import NAMES, fork, fresh, pixels_of, read, store_of

from balanced_mixup.data import store_writer
from balanced_mixup.data.cached_stores import cached_stores, damaged_images

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

WRITES = ("open", "mkdir", "replace", "unlink", "truncate", "ftruncate", "pwrite", "fsync", "posix_fallocate")


def killed_before(number, images, cache):
    """Read `images` in a process that is killed before one of its writes; return whether it came to that."""
    writes = iter(range(10**6))

    def killing(write):
        def call(*arguments, **options):
            if next(writes) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments, **options)

        return call

    def build():
        for name in WRITES:
            setattr(os, name, killing(getattr(os, name)))
        read(images, cache)

    process = fork.Process(target=build)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def damage(path):
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("begun", ["new", "damaged", "merged"])
def test_killed_before_each_write(watched, cache, later, monkeypatch, begun):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # takes most of the time, and no power fails here
    monkeypatch.setattr(store_writer, "_FLUSH_SECONDS", 0)  # so that there are many writes
    monkeypatch.setattr(store_writer, "_MAX_FILES", 2 if begun == "merged" else 64)
    images, number, goes_on = watched(NAMES[:3]), 0, True
    while goes_on:
        for rows in {"new": (), "merged": ([0], [0, 1])}.get(begun, ([0],)):
            read(images.subset(np.array(rows)), cache)
        store, bad = store_of(images, cache), set()
        if begun == "damaged":
            damage(pixels_of(images, cache))
            (store.folder / "damaged").touch()
            bad = {"a.bmp"}
        goes_on = killed_before(number, images, cache)
        assert damaged_images(store.folder, store.index()) <= bad
        for _ in range(2):
            np.testing.assert_array_equal(read(images, cache), fresh(images))
        assert damaged_images(store.folder, store.index()) == set()
        left = {path.name for path in store.folder.iterdir()} - {f"pixels-{entry.file}.bin" for entry in store.index().values()}
        assert left == {"index.jsonl", "store.json"}
        cached_stores(cache)[0].remove()
        number += 1
    assert number > 20
