"""Images whose every reading is noted, and what else the tests of the store share."""

import multiprocessing
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from balanced_mixup.data.images import FileImages
from balanced_mixup.data.store import Store

SIZE = 5
NAMES = [f"{letter}.bmp" for letter in "abcdef"]
REMEDIES = "Choose another folder with `--cache-dir`, or `--cache ram` or `none`"
SOME = 4 * 4096  # for the small files of a store

# Processes of their own, which take over what the test has set up. They run nothing but the store.
fork = multiprocessing.get_context("fork")


class Watched(FileImages):
    """Notes what is decoded and what is hashed, in a file: it is shared with other processes and survives their end."""

    def __init__(self, root, names, journal, pause=0.0, before=None, after=None):
        super().__init__(root, names)
        self.journal, self.pause, self.before, self.after = journal, pause, before, after

    def scan(self, index, size=None):
        return self._noted("decoded", index, lambda: super(Watched, self).scan(index, size))

    def digest(self, index):
        return self._noted("hashed", index, lambda: super(Watched, self).digest(index))

    def _noted(self, what, index, work):
        with self.journal.open("a") as file:
            file.write(f"{what} {self.key(index)}\n")
        time.sleep(self.pause)
        if self.before:
            self.before(self.key(index))
        result = work()
        if self.after:
            self.after(self.key(index))
        return result

    def work(self):
        """Return what was done since the last call, sorted."""
        lines = self.so_far()
        self.journal.unlink(missing_ok=True)
        return lines

    def so_far(self):
        return sorted(self.journal.read_text().splitlines()) if self.journal.exists() else []


def decoded(*names):
    return sorted(f"decoded {name}" for name in names)


def hashed(*names):
    return sorted(f"hashed {name}" for name in names)


def write(path, seed, shape=(6, 8, 3)):
    """Write an image of its own for each seed; uncompressed, so that all of a shape have one size. Its change can be seen."""
    before = path.stat().st_ctime_ns if path.exists() else 0
    while not path.exists() or path.stat().st_ctime_ns == before:  # the clock of a file system may tick slowly
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)
    return path


def scan_all(images, cache_dir, size=SIZE, threads=1):
    """Read the images through their store, as a training does."""
    with Store.under(cache_dir, images.origin, size).opened_for(images) as stored, ThreadPoolExecutor(threads) as pool:
        scans = list(pool.map(stored.scan, range(len(images))))
    return stored, scans


def read(images, cache_dir, size=SIZE, threads=1):
    """Return the pixels that a training gets, (N, size, size, 3)."""
    return scan_all(images, cache_dir, size, threads)[0].pixels().gather(np.arange(len(images))).numpy()


def fresh(images, size=SIZE):
    return np.stack([FileImages.scan(images, row, size).pixels for row in range(len(images))])


def store_of(images, cache_dir, size=SIZE):
    return Store.under(cache_dir, images.origin, size)


def places(images, cache_dir, size=SIZE):
    """Return the file and slot of each image in its store."""
    return {key: (entry.file, entry.slot) for key, entry in store_of(images, cache_dir, size).index().items()}


def pixels_of(images, cache_dir, size=SIZE):
    """Return the path of the only pixel file of a store."""
    (path,) = store_of(images, cache_dir, size).folder.glob("pixels-*.bin")
    return path


def wait_until(condition):
    """Wait for another process, however busy the machine is."""
    while not condition():
        time.sleep(0.001)


def used_bytes(folder):
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def disk_of(monkeypatch, cache, capacity):
    """Put the cache on a disk of its own."""
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=max(0, capacity - used_bytes(cache))))
