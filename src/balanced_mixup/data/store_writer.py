"""Adding images to a store, in an order of writes that leaves it valid when the process is killed at any moment.

Worker processes import this file; its imports are fast.
"""

import errno
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from balanced_mixup.data.allocator import keep_freed_memory
from balanced_mixup.data.manifest import Images
from balanced_mixup.data.pixel_budget import budget
from balanced_mixup.data.store_format import CHANNELS, HEADER, INDEX, PIXELS, IndexEntry, explain_errors, write_pixels
from balanced_mixup.errors import DataError, RunError, human_bytes

log = logging.getLogger("balanced_mixup")

_FLUSH_SECONDS = 1.0


class StoreWriter:
    """Adds images to a store from several threads; used by the process that has locked it."""

    def __init__(self, folder: Path, header: Mapping[str, Any], index: Mapping[str, IndexEntry], count: int) -> None:
        """Prepare to add about `count` images to the store in `folder`, whose header and index are given."""
        self._folder, self._header, self._count = folder, header, count
        self._image_bytes = header["size"] ** 2 * CHANNELS
        self._new_store = not index  # damaged, of another version, or never begun: its content is ignored
        self._first = self._next = 1 + max((entry.slot for entry in index.values()), default=-1)
        self._lines: list[str] = []
        self._mutex, self._flushing = threading.Lock(), threading.Lock()
        self._flushed = time.monotonic()

    def __enter__(self) -> "StoreWriter":
        """Open the files and reserve the space. RunError if they cannot be written or the disk is too small."""
        folder = self._folder
        log.info("Storing decoded images in %s (%s).", folder, human_bytes(self._count * self._image_bytes))
        with explain_errors(folder):
            folder.mkdir(exist_ok=True)
            if self._new_store:
                for name in (INDEX, PIXELS):
                    (folder / name).unlink(missing_ok=True)
                (folder / HEADER).write_text(json.dumps(self._header), encoding="utf-8")
            self._pixels = os.open(folder / PIXELS, os.O_RDWR | os.O_CREAT, 0o666)
            self._index = (folder / INDEX).open("ab+")
            self._end_truncated_line()
        try:
            self._reserve()
        except BaseException:
            self._close()
            raise
        return self

    def _end_truncated_line(self) -> None:
        if self._index.tell():
            self._index.seek(-1, os.SEEK_END)
            if self._index.read(1) != b"\n":
                self._index.write(b"\n")

    def _reserve(self) -> None:
        """Make sure that the disk has enough space for all further images."""
        need, start = self._count * self._image_bytes, self._first * self._image_bytes
        # Space that a killed process had reserved can be used.
        free = shutil.disk_usage(self._folder).free + max(0, os.fstat(self._pixels).st_blocks * 512 - start)
        too_small = RunError(
            f"The decoded images need {human_bytes(need)}, but the disk of {str(self._folder)!r} has {human_bytes(free)} free. "
            "Choose another folder with `--cache-dir`, free some space (`bmixup cache`), or use `--cache none`."
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

    def reserve_slots(self, count: int) -> list[int]:
        """Return `count` new slots."""
        with self._mutex:
            first, self._next = self._next, self._next + count
        return list(range(first, first + count))

    def add(self, pixels: npt.NDArray[np.uint8]) -> int:
        """Write the pixels of one image and return their slot."""
        (slot,) = self.reserve_slots(1)
        with explain_errors(self._folder):
            write_pixels(self._pixels, pixels, slot)
        return slot

    def record(self, key: str, entry: IndexEntry) -> None:
        """Add an image to the index, once its pixels are written."""
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
        with explain_errors(self._folder):
            os.fsync(self._pixels)
            self._index.write("".join(lines).encode())
            self._index.flush()
            os.fsync(self._index.fileno())

    def __exit__(self, *_: object) -> None:
        """Write the rest of the index, and release space that was reserved for images that turned out to be bad."""
        try:
            self._flush()
            os.ftruncate(self._pixels, self._next * self._image_bytes)
        finally:
            self._close()

    def _close(self) -> None:
        os.close(self._pixels)
        with explain_errors(self._folder):
            self._index.close()


def decode_into(path: Path, images: Images, size: int, slots: Sequence[int]) -> list[IndexEntry | None]:
    """Decode images, resized to (size, size), into their slots of the file at `path`: what a worker process runs.

    Returns:
        The index entry of each image; None if it could not be read or changed in the meantime.
    """
    keep_freed_memory()
    budget.share_with(cpu_count())
    file = os.open(path, os.O_WRONLY)
    try:
        return [_decode_one(file, images, row, size, slot) for row, slot in enumerate(slots)]
    finally:
        os.close(file)


def _decode_one(file: int, images: Images, row: int, size: int, slot: int) -> IndexEntry | None:
    stamp = images.stamp(row)  # before the read, so that a later change is noticed now or next time
    try:
        scan = images.scan(row, size)
    except DataError:
        return None
    write_pixels(file, scan.pixels, slot)
    again = images.stamp(row)
    if stamp is None or again is None or again.fingerprint != stamp.fingerprint:
        return None
    return IndexEntry(stamp.stable_fingerprint, scan.digest, scan.height, scan.width, slot)
