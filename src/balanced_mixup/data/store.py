"""Decoded images on disk: each image is decoded once, and every later training reads its pixels.

A store holds the images of one origin (a folder, an npz) at one size, in a folder of its own under the cache folder.

Notable decisions
- All processes share the pixels through the page cache; none needs memory of its own for them.
- An index line is written after its pixels are safely on disk. A kill at any moment therefore leaves a valid store, and the
  next training adds what is missing.
- An image is recognised by size and timestamps of its file. If they differ from the index, its content is compared by digest;
  if that differs too, it is decoded again into a new slot. The fingerprint of a file that changed within the last two seconds
  is not kept, as the next change may leave the same timestamps.
- The space is reserved before anything is decoded, so that a full disk is noticed first.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import Timeout
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor
from platformdirs import user_cache_path

from balanced_mixup.data.manifest import Images, Scan, Stamp
from balanced_mixup.data.pixels import ArrayPixels, FilePixels, OpenFile, Pixels
from balanced_mixup.data.store_format import (
    CHANNELS,
    HEADER,
    PIXELS,
    IndexEntry,
    explain_errors,
    header_for,
    lock_of,
    read_index,
)  # fmt: skip
from balanced_mixup.data.store_writer import StoreWriter, decode_into
from balanced_mixup.errors import DataError, Problem
from balanced_mixup.progress import progress_bar

log = logging.getLogger("balanced_mixup")

_MANY = 1000  # minimum number of images for which processes are started
_CHUNK = 64  # images that a process takes at a time


def default_cache_dir() -> Path:
    """Return the folder of the stores: `$BMIXUP_CACHE_DIR`, or the user's cache folder."""
    return Path(os.environ.get("BMIXUP_CACHE_DIR") or user_cache_path("balanced-mixup"))


@dataclass(frozen=True)
class Store:
    """The decoded images of one origin at one size."""

    folder: Path
    origin: str  # where the images come from, as `Images.origin`
    size: int  # side of the images in pixels

    @classmethod
    def under(cls, cache_dir: Path, origin: str, size: int) -> "Store":
        """Return the store of an origin and size in the cache folder; it need not exist yet."""
        identity = hashlib.blake2b(repr(tuple(header_for(origin, size).values())).encode(), digest_size=4).hexdigest()
        name = re.sub(r"[^\w.-]+", "_", Path(origin).name)[:40].lstrip(".") or "images"
        return cls(cache_dir / f"{name}-{size}px-{identity}", origin, size)

    def index(self) -> dict[str, IndexEntry]:
        """Return the usable images by key; none if there is no store or if it is of another version."""
        return read_index(self.folder, header_for(self.origin, self.size))

    def _snapshot(self) -> tuple[dict[str, IndexEntry], OpenFile | None]:
        """Return the index and the pixels it belongs to, although the store may be cleared and recreated at any moment."""
        path = self.folder / PIXELS
        with suppress(OSError):
            file, index = OpenFile(path), self.index()
            if os.path.samestat(os.fstat(file.descriptor), path.stat()):
                return index, file
        return {}, None

    @contextmanager
    def opened_for(self, images: Images) -> Iterator["StoredImages"]:
        """Yield `images` as read through this store; missing ones are added inside the block.

        Raises:
            RunError: Images are missing and the store cannot be written, or the disk has not enough space.
        """
        stored = StoredImages(self, images, *self._snapshot())
        with suppress(OSError):  # the time of the last use, if the folder is writable
            os.utime(self.folder / HEADER)
        if stored.complete():
            yield stored
            return
        with self._locked():
            index, file = self._snapshot()
            stored = StoredImages(self, images, index, file)
            if stored.complete():  # another process has added the missing images
                yield stored
                return
            unknown = stored.unknown()
            with StoreWriter(self.folder, header_for(self.origin, self.size), index, len(unknown)) as writer:
                stored.writer = writer
                if len(unknown) >= _MANY:
                    stored.fill(unknown, writer)
                yield stored
            stored.file = self._snapshot()[1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = lock_of(self.folder)
        with explain_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.info("Another process is adding images to %s; waiting until it is done.", self.folder)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()


class StoredImages:
    """Images read through a store. `slots` are their positions in it, int64 (N,), -1 before an image was scanned."""

    def __init__(self, store: Store, images: Images, index: dict[str, IndexEntry], file: OpenFile | None) -> None:
        """Read `images` through `store`, given its index and pixels; a `writer`, set later, adds missing images."""
        self.slots = np.full(len(images), -1)
        self.writer: StoreWriter | None = None
        self.file = file
        self._store, self._images, self._index = store, images, index

    def complete(self) -> bool:
        """Return whether every image that exists is in the index, unchanged."""
        for row in range(len(self._images)):
            stamp, entry = self._images.stamp(row), self._index.get(self._images.key(row))
            if stamp is not None and (entry is None or entry.fingerprint != stamp.fingerprint):
                return False
        return True

    def unknown(self) -> list[int]:
        """Return the images that exist and are not in the index; most of the others will have the same content as before."""
        images = self._images
        return [row for row in range(len(images)) if images.key(row) not in self._index and images.stamp(row) is not None]

    def fill(self, rows: list[int], writer: StoreWriter) -> None:
        """Decode many new images with one process per core, as threads would block each other.

        Images that cannot be read are left to `scan`, which reports why.
        """
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        tasks = (
            delayed(decode_into)(self._store.folder / PIXELS, self._images.subset(chunk), self._store.size, slots)
            for chunk, slots in [(chunk, writer.reserve_slots(len(chunk))) for chunk in chunks]
        )
        try:
            with explain_errors(self._store.folder), progress_bar("Decoding images", len(rows)) as advance:
                found = Parallel(cpu_count(), return_as="generator", max_nbytes=None)(tasks)
                for chunk, entries in zip(chunks, found, strict=True):
                    for row, entry in zip(chunk, entries, strict=True):
                        if entry is not None:
                            self._record(row, entry, writer)
                    advance(len(chunk))
        finally:
            get_reusable_executor().shutdown(wait=True)  # idle processes would keep their memory

    def _record(self, row: int, entry: IndexEntry, writer: StoreWriter) -> None:
        self._index[self._images.key(row)] = entry
        writer.record(self._images.key(row), entry)

    def scan(self, row: int) -> Scan:
        """Return digest and original size of image `row` as `Images.scan` does, and make sure that it is in the store.

        The pixels of the result are empty. May be called from several threads.

        Raises:
            DataError: The image is missing or damaged, or changed while it was read.
            RunError: The store cannot be written.
        """
        # Taken before the read, so that a later change is noticed now or next time.
        stamp, entry = self._images.stamp(row), self._index.get(self._images.key(row))
        if stamp is None:
            self._images.scan(row, self._store.size)  # raises an error that says why it cannot be read
            raise self._changed(row)
        if entry is None or entry.fingerprint != stamp.fingerprint:
            entry = self._add(row, stamp, entry)
        self.slots[row] = entry.slot
        return Scan(np.empty(0, np.uint8), entry.height, entry.width, entry.digest)

    def _add(self, row: int, stamp: Stamp, known: IndexEntry | None) -> IndexEntry:
        if self.writer is None:
            raise self._changed(row)
        if known is not None and known.digest == self._images.digest(row):
            entry = known
        else:
            scan = self._images.scan(row, self._store.size)
            entry = IndexEntry("", scan.digest, scan.height, scan.width, self.writer.add(scan.pixels))
        again = self._images.stamp(row)
        if again is None or again.fingerprint != stamp.fingerprint:
            raise self._changed(row)
        entry = entry._replace(fingerprint=stamp.stable_fingerprint)
        self.writer.record(self._images.key(row), entry)
        return entry

    def _changed(self, row: int) -> DataError:
        message = f"{self._images.names[row]}: the file changed while it was read"
        return DataError([Problem("changed image", message, "Do not change images while they are read.")])

    def pixels(self) -> Pixels:
        """Return the pixels of all images, (N, size, size, 3); those of an unreadable image are another image's."""
        size, slots = self._store.size, np.maximum(self.slots, 0)
        if self.file is None:  # no image could be read
            return ArrayPixels(np.zeros((1, size, size, CHANNELS), np.uint8), slots)
        return FilePixels(self.file, size, size, slots)
