"""Decoded images on disk: each image is decoded once, and every later training reads its pixels.

A store holds the images of one origin (a folder, an npz) at one size, in a folder of its own under the cache folder:

    pixels.bin    uint8 (slots, size, size, 3), raw; it only grows, and a slot that the index names never changes
    index.jsonl   [key, mark, digest, height, width, slot] a line; the last line of a key counts
    store.json    what the folder holds; made by another version, it is not used

Beside the folder lies its lock, held by the process that adds images. It is never deleted: whoever waits for it has it open.

Notable decisions
- All processes share the pixels through the page cache; they cost none of them memory of its own.
- A line is written after its pixels are safely on the disk. So a kill at any moment leaves a store that is correct as far as
  it goes, and the next training adds what is missing.
- An image is known by its file's size and times of change. Where they differ from those in the index, its content is compared
  by digest; where that differs too, it is decoded again into a new slot. A file that changed within the last two seconds may
  change again without a trace in its times, so its mark is not kept.
- The space is reserved before anything is decoded: a disk that is too small is found out first.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from filelock import FileLock, Timeout
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor
from platformdirs import user_cache_path

from balanced_mixup.data.decoding import Entry, decode_into
from balanced_mixup.data.manifest import Images, Scan, Stamp
from balanced_mixup.data.pixels import ArrayPixels, FilePixels, OpenFile, Pixels
from balanced_mixup.data.store_writer import Writer, explained
from balanced_mixup.errors import DataError, Problem
from balanced_mixup.progress import progress_bar

log = logging.getLogger("balanced_mixup")

FORMAT = 1
_MANY = 1000  # images that are worth starting processes for
_CHUNK = 64  # images that a process takes at a time
_CHANNELS = 3


def default_cache_dir() -> Path:
    """Return the folder of the stores: `$BMIXUP_CACHE_DIR`, or the user's cache folder."""
    return Path(os.environ.get("BMIXUP_CACHE_DIR") or user_cache_path("balanced-mixup"))


@dataclass(frozen=True)
class Store:
    """The decoded images of one origin at one size.

    Args:
        folder: Where it is.
        origin: Where the images come from, as `Images.origin`.
        size: Side of the images in pixels.
    """

    folder: Path
    origin: str
    size: int

    @classmethod
    def under(cls, cache_dir: Path, origin: str, size: int) -> "Store":
        """Return the store of an origin and size, which may not exist yet, in the cache folder."""
        # Another version of Pillow may decode to other pixels.
        mark = hashlib.blake2b(repr((FORMAT, PIL.__version__, origin, size)).encode(), digest_size=4).hexdigest()
        name = re.sub(r"[^\w.-]+", "_", Path(origin).name)[:40].lstrip(".") or "images"
        return cls(cache_dir / f"{name}-{size}px-{mark}", origin, size)

    @property
    def header(self) -> dict[str, Any]:
        """What `store.json` of such a store holds."""
        return {"format": FORMAT, "pillow": PIL.__version__, "origin": self.origin, "size": self.size}

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.size * self.size * _CHANNELS

    def index(self) -> dict[str, Entry]:
        """Return the images that can be used, by key; none where there is no store or it is of another version."""
        if header_of(self.folder) != self.header:
            return {}
        try:
            slots = (self.folder / "pixels.bin").stat().st_size // self.image_bytes
            lines = (self.folder / "index.jsonl").read_bytes().splitlines()
        except OSError:
            return {}
        entries = {}
        for line in lines:
            with suppress(ValueError, TypeError):  # a line that a kill cut off
                key, *values = json.loads(line)
                entries[key] = Entry(*values)
        # Where pixels are gone, none is used: a slot that came back would be that of another image.
        return entries if all(0 <= entry.slot < slots for entry in entries.values()) else {}

    def _snapshot(self) -> tuple[dict[str, Entry], OpenFile | None]:
        """Return the index and the pixels that it is about, although the store may be cleared and made anew at any moment."""
        path = self.folder / "pixels.bin"
        with suppress(OSError):
            file, index = OpenFile(path), self.index()
            if os.path.samestat(os.fstat(file.descriptor), path.stat()):
                return index, file
        return {}, None

    @contextmanager
    def opened_for(self, images: Images) -> Iterator["StoredImages"]:
        """Yield `images` as read through this store; what it lacks is added while the block runs.

        Raises:
            RunError: The store lacks images and cannot be written, or the disk has no room for them.
        """
        index, file = self._snapshot()
        with suppress(OSError):  # the time of the last use, where the folder can be written
            os.utime(self.folder / "store.json")
        if _complete(images, index):
            yield StoredImages(self, images, index, file)
            return
        with self._locked():
            index, file = self._snapshot()
            if _complete(images, index):  # another process has added what was missing
                yield StoredImages(self, images, index, file)
                return
            stored = StoredImages(self, images, index, file)
            unknown = _unknown(images, index)
            with Writer(self, index, len(unknown)) as writer:
                stored.writer = writer
                if len(unknown) >= _MANY:
                    stored.fill(unknown, writer)
                yield stored
            stored.file = self._snapshot()[1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = lock_of(self.folder)
        with explained(self):
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


def header_of(folder: Path) -> Any:
    """Return what the store.json in a folder holds, None where there is none."""
    try:
        return json.loads((folder / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def lock_of(folder: Path) -> FileLock:
    """Return the lock that whoever adds images to the store in a folder holds."""
    return FileLock(folder.with_name(f"{folder.name}.lock"))


def _complete(images: Images, index: Mapping[str, Entry]) -> bool:
    """Return whether all images that are there are in the index as they are now."""
    for row in range(len(images)):
        stamp, entry = images.stamp(row), index.get(images.key(row))
        if stamp is not None and (entry is None or entry.mark != stamp.mark):
            return False
    return True


def _unknown(images: Images, index: Mapping[str, Entry]) -> list[int]:
    """Return the images that are there and that the index does not know; of others, most have the content that they had."""
    return [row for row in range(len(images)) if images.key(row) not in index and images.stamp(row) is not None]


class StoredImages:
    """Images read through a store. `slots` says where in it each image is, int64 (N,), -1 before it was scanned."""

    def __init__(self, store: Store, images: Images, index: dict[str, Entry], file: OpenFile | None) -> None:
        """Read `images` through `store`, whose index and pixels are given; a `writer`, set later, adds what it lacks."""
        self.slots = np.full(len(images), -1)
        self.writer: Writer | None = None
        self.file = file
        self._store, self._images, self._index = store, images, index

    def fill(self, rows: list[int], writer: Writer) -> None:
        """Decode many images that the store does not know, by a process a core; threads wait for each other too often.

        What cannot be read is left to `scan`, which says why.
        """
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        places = [writer.take(len(chunk)) for chunk in chunks]
        tasks = (
            delayed(decode_into)(self._store.folder / "pixels.bin", self._images.part(chunk), self._store.size, slots)
            for chunk, slots in zip(chunks, places, strict=True)
        )
        try:
            with explained(self._store), progress_bar("Decoding images", len(rows)) as advance:
                found = Parallel(cpu_count(), return_as="generator", max_nbytes=None)(tasks)
                for chunk, entries in zip(chunks, found, strict=True):
                    for row, entry in zip(chunk, entries, strict=True):
                        if entry is not None:
                            self._index[self._images.key(row)] = entry
                            writer.note(self._images.key(row), entry)
                    advance(len(chunk))
        finally:
            get_reusable_executor().shutdown(wait=True)  # they would wait for more work, and keep their memory

    def scan(self, row: int) -> Scan:
        """Return digest and stored size of image `row` as `Images.scan` does, and make sure that its pixels are in the store.

        Its pixels are empty. May be called from several threads.

        Raises:
            DataError: The image is missing, damaged, or changed while it was read.
            RunError: The store cannot be written.
        """
        # Looked at before the reading, so that a change after it is noticed now or next time.
        stamp, entry = self._images.stamp(row), self._index.get(self._images.key(row))
        if stamp is None:
            self._images.scan(row, self._store.size)  # says why it cannot be read
            raise self._changed(row)
        if entry is None or entry.mark != stamp.mark:
            entry = self._add(row, stamp, entry)
        self.slots[row] = entry.slot
        return Scan(np.empty(0, np.uint8), entry.height, entry.width, entry.digest)

    def _add(self, row: int, stamp: Stamp, known: Entry | None) -> Entry:
        if self.writer is None:
            raise self._changed(row)
        if known is not None and known.digest == self._images.digest(row):
            entry = known
        else:
            scan = self._images.scan(row, self._store.size)
            slot = self.writer.add(scan.pixels)
            entry = Entry("", scan.digest, scan.height, scan.width, slot)
        again = self._images.stamp(row)
        if again is None or again.mark != stamp.mark:
            raise self._changed(row)
        entry = entry._replace(mark=stamp.lasting_mark)
        self.writer.note(self._images.key(row), entry)
        return entry

    def _changed(self, row: int) -> DataError:
        message = f"{self._images.names[row]}: the file changed while it was read"
        return DataError([Problem("changed image", message, "Leave the images as they are while they are read.")])

    def pixels(self) -> Pixels:
        """Return the pixels of all images, (N, size, size, 3); of one that could not be read some other image's."""
        if self.file is None:  # no image could be read
            return ArrayPixels(
                np.zeros((1, self._store.size, self._store.size, _CHANNELS), np.uint8), np.maximum(self.slots, 0)
            )
        return FilePixels(self.file, self._store.size, self._store.size, np.maximum(self.slots, 0))
