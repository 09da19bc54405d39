"""Decoded images on disk: each image is decoded once, and every later training reads its pixels.

A store holds the images of one origin (a folder, an npz) at one size, in a folder of its own under the cache folder.

Notable decisions
- All processes share the pixels through the page cache; none needs memory of its own for them.
- An index line is written after its pixels are safely on disk. A kill at any moment therefore leaves a valid store, and the
  next training adds what is missing.
- A process that adds images writes into files of its own (`store_format`). The lock only saves work: without it, as on some
  network file systems, no image would be wrong either.
- Pixels have a checksum, which a process verifies when it first reads them, as the whole store may be larger than memory. Where
  it differs, the image is decoded from its file instead, and the next training verifies the store and adds what it lacks.
- An image is recognised by size and timestamps of its file. If they differ from the index, its content is compared by digest;
  if that differs too, it is decoded again into a new slot. The fingerprint of a file that changed within the last two seconds
  is not kept, as the next change may leave the same timestamps.
- The space is reserved before anything is decoded, so that a full disk is noticed first.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import cpu_count

from balanced_mixup.data.cache_limit import make_room
from balanced_mixup.data.cached_stores import damaged_images
from balanced_mixup.data.manifest import Images, Scan, Stamp
from balanced_mixup.data.pixel_file import OpenFile
from balanced_mixup.data.pixels import SourcePixels
from balanced_mixup.data.store_format import (
    CHANNELS,
    DAMAGED,
    HEADER,
    IndexEntry,
    explain_errors,
    header_for,
    locked,
    pixel_file,
    read_index,
    store_folder,
)  # fmt: skip
from balanced_mixup.data.store_writer import StoreWriter, decode_into
from balanced_mixup.data.stored_pixels import PLACE, StoredPixels
from balanced_mixup.errors import DataError, Problem
from balanced_mixup.progress import progress_bar
from balanced_mixup.workers import map_in_processes

log = logging.getLogger("balanced_mixup")

_MANY = 1000  # minimum number of images for which processes are started
_CHUNK = 64  # images that a process takes at a time


@dataclass(frozen=True)
class Store:
    """The decoded images of one origin at one size."""

    folder: Path
    origin: str  # where the images come from, as `Images.origin`
    size: int  # side of the images in pixels

    @classmethod
    def under(cls, cache_dir: Path, origin: str, size: int) -> "Store":
        """Return the store of an origin and size in the cache folder; it need not exist yet."""
        return cls(store_folder(cache_dir, header_for(origin, size)), origin, size)

    def index(self) -> dict[str, IndexEntry]:
        """Return the usable images by key; none if there is no store or if it is of another version."""
        return read_index(self.folder, header_for(self.origin, self.size))

    @contextmanager
    def opened_for(self, images: Images) -> Iterator["StoredImages"]:
        """Yield `images` as read through this store; missing ones are added inside the block.

        Raises:
            RunError: Images are missing and the store cannot be written, or the disk has not enough space.
            UsageError: The limit of the cache is not a number of bytes.
        """
        damaged, index = self.folder / DAMAGED, self.index()
        stored = StoredImages(self, images, index)
        with suppress(OSError):  # the time of the last use, if the folder is writable
            os.utime(self.folder / HEADER)
        if stored.complete() and not damaged.exists():
            yield stored
            return
        with locked(self.folder):
            index = self.index()
            if damaged.exists():
                for key in damaged_images(self.folder, index):
                    del index[key]
            stored = StoredImages(self, images, index)
            if stored.complete() and not damaged.exists():  # another process has added the missing images
                yield stored
                return
            unknown = stored.unknown()
            if unknown:
                make_room(self.folder, self.origin, self.size, len(unknown) * self.size**2 * CHANNELS)
            with StoreWriter(self.folder, header_for(self.origin, self.size), index, len(unknown)) as writer:
                damaged.unlink(missing_ok=True)
                stored = StoredImages(self, images, index, writer)
                if len(unknown) >= _MANY:
                    stored.fill(unknown, writer)
                yield stored

    def report_damage(self, names: Sequence[str]) -> None:
        """Warn of images whose pixels in the store are damaged, and have it verified when it is next opened."""
        with suppress(OSError):
            (self.folder / DAMAGED).touch()
        log.warning(
            "Damaged in the store %s: %s%s. They are decoded from their files now, and stored again by the next training.",
            self.folder,
            ", ".join(names[:3]),
            f" and {len(names) - 3} more" if len(names) > 3 else "",
        )


class StoredImages:
    """Images read through a store."""

    def __init__(self, store: Store, images: Images, index: dict[str, IndexEntry], writer: StoreWriter | None = None) -> None:
        """Read `images` through `store`, given its index; the `writer`, if any, adds missing images."""
        self._store, self._images, self._writer = store, images, writer
        self._files: dict[str, OpenFile] = {}
        for name in {entry.file for entry in index.values()} | ({writer.file} if writer else set()):
            with suppress(FileNotFoundError):  # deleted since the index was read
                self._files[name] = OpenFile(pixel_file(store.folder, name))
        self._index = {key: entry for key, entry in index.items() if entry.file in self._files}
        self._positions = {name: position for position, name in enumerate(self._files)}
        self._digests = [""] * len(images)
        self._places = np.zeros(len(images), PLACE)
        self._places["file"] = -1  # before an image was scanned

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
        folder, size = self._store.folder, self._store.size
        tasks = ((folder, writer.file, self._images.subset(chunk), size, writer.reserve_slots(len(chunk))) for chunk in chunks)
        with (
            explain_errors(folder),
            progress_bar("Decoding images", len(rows)) as advance,
            closing(map_in_processes(decode_into, tasks, cpu_count())) as found,
        ):
            for chunk, entries in zip(chunks, found, strict=True):
                for row, entry in zip(chunk, entries, strict=True):
                    if entry is not None:
                        self._index[self._images.key(row)] = entry
                        writer.record(self._images.key(row), entry)
                advance(len(chunk))

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
        self._places[row] = (self._positions[entry.file], entry.slot, entry.checksum, False)
        self._digests[row] = entry.digest
        return Scan(np.empty(0, np.uint8), entry.height, entry.width, entry.digest)

    def _add(self, row: int, stamp: Stamp, known: IndexEntry | None) -> IndexEntry:
        if self._writer is None:
            raise self._changed(row)
        if known is not None and known.digest == self._images.digest(row):
            entry = known
        else:
            scan = self._images.scan(row, self._store.size)
            slot, checksum = self._writer.add(scan.pixels)
            entry = IndexEntry("", scan.digest, scan.height, scan.width, self._writer.file, slot, checksum)
        again = self._images.stamp(row)
        if again is None or again.fingerprint != stamp.fingerprint:
            raise self._changed(row)
        entry = entry._replace(fingerprint=stamp.stable_fingerprint)
        self._writer.record(self._images.key(row), entry)
        return entry

    def _changed(self, row: int) -> DataError:
        message = f"{self._images.names[row]}: the file changed while it was read"
        return DataError([Problem("changed image", message, "Do not change images while they are read.")])

    def pixels(self) -> StoredPixels:
        """Return the pixels of all images, (N, size, size, 3)."""
        source = SourcePixels(self._images, self._store.size, tuple(self._digests))
        return StoredPixels(tuple(self._files.values()), self._places, source, self._store.report_damage)
