"""Adding images to a store, in an order of writes that leaves it valid when the process is killed at any moment.

Worker processes import this file; its imports are fast.
"""

import errno
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from balanced_mixup.data.allocator import keep_freed_memory
from balanced_mixup.data.manifest import Images
from balanced_mixup.data.pixel_budget import budget
from balanced_mixup.data.pixel_file import OpenFile, write_image
from balanced_mixup.data.store_format import (
    IndexEntry,
    begin_store,
    contents_of,
    explain_errors,
    index_line,
    pixel_file,
    pixel_files,
    replace_index,
    slot_bytes,
    tidy,
)  # fmt: skip
from balanced_mixup.errors import DataError, RunError, human_bytes

log = logging.getLogger("balanced_mixup")

_FLUSH_SECONDS = 1.0
_MAX_FILES = 64  # of pixels in a store, as each is kept open; then they are copied into one


class StoreWriter:
    """Adds images to a store from several threads, in a pixel file of its own; used by the process that has locked it."""

    def __init__(self, folder: Path, header: dict[str, Any], index: dict[str, IndexEntry], count: int) -> None:
        """Prepare to add about `count` images to the store in `folder`, whose header and index are given."""
        self.file = secrets.token_hex(8)
        self._folder, self._header, self._index = folder, header, index
        self._merges = len({entry.file for entry in index.values()}) >= _MAX_FILES
        self._count = count + len(index) * self._merges
        self._image_bytes = slot_bytes(header)
        self._next = 0
        self._lines: list[str] = []
        self._mutex, self._flushing = threading.Lock(), threading.Lock()
        self._flushed = time.monotonic()

    def __enter__(self) -> "StoreWriter":
        """Open the files and reserve the space. RunError if they cannot be written or the disk is too small."""
        folder = self._folder
        log.info("Storing %s in %s (%s).", contents_of(self._header), folder, human_bytes(self._count * self._image_bytes))
        with explain_errors(folder):
            begin_store(folder, self._header)
            tidy(folder, self._header, self._index)
            self._pixels = os.open(pixel_file(folder, self.file), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            self._reserve()
            with explain_errors(folder):
                if self._merges:
                    self._copy_all()
                self._index_file = replace_index(folder, self._index)
                if self._merges:
                    for path in pixel_files(folder) - {pixel_file(folder, self.file)}:
                        path.unlink()
        except BaseException:
            os.close(self._pixels)
            pixel_file(folder, self.file).unlink(missing_ok=True)
            raise
        return self

    def _reserve(self) -> None:
        """Make sure that the disk has enough space for all further images."""
        need, free = self._count * self._image_bytes, shutil.disk_usage(self._folder).free
        too_small = RunError(
            f"The {contents_of(self._header)} need {human_bytes(need)}, but the disk of {str(self._folder)!r} has "
            f"{human_bytes(free)} free. Choose another folder with `--cache-dir`, free some space (`bmixup cache`), or use "
            "`--cache none`."
        )
        if need > free:
            raise too_small
        if need and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._pixels, 0, need)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # others: a file system that cannot reserve
                    raise too_small from error

    def _copy_all(self) -> None:
        """Copy the images of all files into that of this process; damaged ones are left out."""
        files = {name: OpenFile(pixel_file(self._folder, name)) for name in {entry.file for entry in self._index.values()}}
        image = np.empty(self._image_bytes, np.uint8)
        for key, entry in sorted(self._index.items(), key=lambda item: (item[1].file, item[1].slot)):
            del self._index[key]
            if files[entry.file].read(entry.slot, image, entry.checksum):
                slot, _ = self.add(image)
                self._index[key] = entry._replace(file=self.file, slot=slot)
        os.fsync(self._pixels)

    def reserve_slots(self, count: int) -> list[int]:
        """Return `count` new slots of the file; each is given once."""
        with self._mutex:
            first, self._next = self._next, self._next + count
        return list(range(first, first + count))

    def add(self, pixels: npt.NDArray[Any]) -> tuple[int, int]:
        """Write the pixels or features of one image and return their slot and checksum."""
        (slot,) = self.reserve_slots(1)
        with explain_errors(self._folder):
            return slot, write_image(self._pixels, pixels, slot)

    def record(self, key: str, entry: IndexEntry) -> None:
        """Add an image to the index, once its pixels are written."""
        with self._mutex:
            self._lines.append(index_line(key, entry))
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
            self._index_file.write("".join(lines).encode())
            self._index_file.flush()
            os.fsync(self._index_file.fileno())

    def __exit__(self, *_: object) -> None:
        """Write the rest of the index, and release space that was reserved for images that turned out to be bad."""
        try:
            self._flush()
            os.ftruncate(self._pixels, self._next * self._image_bytes)
        finally:
            os.close(self._pixels)
            with explain_errors(self._folder):
                if not self._next:
                    pixel_file(self._folder, self.file).unlink(missing_ok=True)
                self._index_file.close()


def decode_into(folder: Path, file: str, images: Images, size: int, slots: Sequence[int]) -> list[IndexEntry | None]:
    """Decode images, resized to (size, size), into slots of a pixel file in `folder`: what a worker process runs.

    Returns:
        The index entry of each image; None if it could not be read or changed in the meantime.
    """
    keep_freed_memory()
    budget.share_with(cpu_count())
    pixels = os.open(pixel_file(folder, file), os.O_WRONLY)
    try:
        return [_decode_one(file, pixels, images, row, size, slot) for row, slot in enumerate(slots)]
    finally:
        os.close(pixels)


def _decode_one(file: str, pixels: int, images: Images, row: int, size: int, slot: int) -> IndexEntry | None:
    stamp = images.stamp(row)  # before the read, so that a later change is noticed now or next time
    try:
        scan = images.scan(row, size)
    except DataError:
        return None
    checksum = write_image(pixels, scan.pixels, slot)
    again = images.stamp(row)
    if stamp is None or again is None or again.fingerprint != stamp.fingerprint:
        return None
    return IndexEntry(stamp.stable_fingerprint, scan.digest, scan.height, scan.width, file, slot, checksum)
