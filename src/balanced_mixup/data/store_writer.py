"""Adding images to a store: what is written when, so that a kill at any moment leaves it correct."""

import errno
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.decoding import Entry, write_pixels
from balanced_mixup.errors import RunError, human_bytes

if TYPE_CHECKING:
    from balanced_mixup.data.store import Store

log = logging.getLogger("balanced_mixup")

_FLUSH_SECONDS = 1.0


@contextmanager
def explained(store: "Store") -> Iterator[None]:
    """Say in our error what goes wrong with the files of a store."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The store of decoded images in {str(store.folder)!r} cannot be written: {error}. Choose another folder with "
            "`--cache-dir`, or `--cache ram` or `none` to write nothing."
        ) from error


class Writer:
    """Adds images to a store, from several threads; used by the process that holds the lock."""

    def __init__(self, store: "Store", index: Mapping[str, Entry], count: int) -> None:
        """Add about `count` images to a store whose index is given."""
        self._store = store
        self._known = len(index)
        self._first = self._next = 1 + max((entry.slot for entry in index.values()), default=-1)
        self._count = count
        self._lines: list[str] = []
        self._mutex, self._flushing = threading.Lock(), threading.Lock()
        self._flushed = time.monotonic()

    def __enter__(self) -> "Writer":
        """Open the files and reserve the space. RunError where they cannot be written or the disk is too small."""
        store = self._store
        log.info("Storing decoded images in %s (%s).", store.folder, human_bytes(self._count * store.image_bytes))
        with explained(store):
            store.folder.mkdir(exist_ok=True)
            if not self._known:  # damaged, of another version, or never begun: nothing in it counts
                for name in ("index.jsonl", "pixels.bin"):
                    (store.folder / name).unlink(missing_ok=True)
                (store.folder / "store.json").write_text(json.dumps(store.header), encoding="utf-8")
            self._pixels = os.open(store.folder / "pixels.bin", os.O_RDWR | os.O_CREAT, 0o666)
            self._index = (store.folder / "index.jsonl").open("ab+")
            self._end_cut_off_line()
        try:
            self._reserve()
        except BaseException:
            self._close()
            raise
        return self

    def _end_cut_off_line(self) -> None:
        if self._index.tell():
            self._index.seek(-1, os.SEEK_END)
            if self._index.read(1) != b"\n":
                self._index.write(b"\n")

    def _reserve(self) -> None:
        """Make sure that the disk has room for all that is to come."""
        store, need, start = self._store, self._count * self._store.image_bytes, self._first * self._store.image_bytes
        # What a build that was killed has reserved is ours already.
        free = shutil.disk_usage(store.folder).free + max(0, os.fstat(self._pixels).st_blocks * 512 - start)
        too_small = RunError(
            f"The decoded images need {human_bytes(need)}, but the disk of {str(store.folder)!r} has {human_bytes(free)} free. "
            "Choose another folder with `--cache-dir`, make room (`bmixup cache`), or use `--cache none`."
        )
        if need > free:
            raise too_small
        if need and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._pixels, start, need)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # others: a file system that cannot reserve
                    os.ftruncate(self._pixels, start)
                    raise too_small from error

    def take(self, count: int) -> list[int]:
        """Return that many new slots."""
        with self._mutex:
            first, self._next = self._next, self._next + count
        return list(range(first, first + count))

    def add(self, pixels: npt.NDArray[np.uint8]) -> int:
        """Write the pixels of one image and return their slot."""
        (slot,) = self.take(1)
        with explained(self._store):
            write_pixels(self._pixels, pixels, slot)
        return slot

    def note(self, key: str, entry: Entry) -> None:
        """Enter an image in the index, once its pixels are written."""
        with self._mutex:
            self._lines.append(json.dumps([key, *entry]) + "\n")
        if time.monotonic() - self._flushed > _FLUSH_SECONDS and self._flushing.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._flushing.release()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        with self._mutex:
            lines, self._lines = self._lines, []
        with explained(self._store):
            os.fsync(self._pixels)
            self._index.write("".join(lines).encode())
            self._index.flush()
            os.fsync(self._index.fileno())

    def __exit__(self, *_: object) -> None:
        """Enter what was added in the index, and give back what was reserved in vain."""
        try:
            self._flush()
            # What was reserved for images that turned out to be bad.
            os.ftruncate(self._pixels, self._next * self._store.image_bytes)
        finally:
            self._close()

    def _close(self) -> None:
        os.close(self._pixels)
        with explained(self._store):
            self._index.close()
