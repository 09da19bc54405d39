"""The stores of decoded images and of features in the cache folder, as `bmixup cache` lists, verifies and deletes them."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import Timeout
from platformdirs import user_cache_path

from balanced_mixup.data.pixel_file import OpenFile, in_use
from balanced_mixup.data.store_format import (
    DAMAGED,
    HEADER,
    IndexEntry,
    contents_of,
    delete_store,
    explain_errors,
    lock_of,
    pixel_file,
    pixel_files,
    read_header,
    read_index,
    replace_index,
    slot_bytes,
    usable_header,
)  # fmt: skip
from balanced_mixup.errors import RunError
from balanced_mixup.progress import progress_bar

_CHUNK = 256  # images that a thread verifies at a time


def default_cache_dir() -> Path:
    """Return the folder of the stores: `$BMIXUP_CACHE_DIR`, or the user's cache folder."""
    return Path(os.environ.get("BMIXUP_CACHE_DIR") or user_cache_path("balanced-mixup"))


@dataclass(frozen=True)
class CachedStore:
    """A store of decoded images, or of features of images."""

    folder: Path
    origin: str  # the folder or file that its images come from
    size: int  # side of the images in pixels
    images: int  # number of usable images, or of feature vectors, if they were counted
    disk_bytes: int
    last_used: float  # seconds since 1970
    format: int
    contents: str  # "decoded images", or "features of" a backbone

    @property
    def in_use(self) -> bool:
        """Whether a process has it open for reading."""
        return any(map(in_use, pixel_files(self.folder)))

    def remove(self) -> None:
        """Delete the store. A training that uses it continues undisturbed.

        Raises:
            RunError: Another process is adding images to it, or it cannot be deleted.
        """
        try:
            with lock_of(self.folder).acquire(timeout=0):
                delete_store(self.folder)
                with suppress(OSError):  # it contains other files
                    self.folder.rmdir()
        except Timeout:
            raise RunError(f"{str(self.folder)!r} was kept: another process is adding images to it.") from None
        except OSError as error:
            raise RunError(f"{str(self.folder)!r} could not be deleted: {error}.") from error

    def verify(self) -> list[str]:
        """Compare each image with its checksum, and drop damaged ones from the store.

        Returns:
            The keys of the damaged images, sorted: their paths from the origin.

        Raises:
            RunError: Another process is adding images to it, or it cannot be written.
        """
        try:
            with lock_of(self.folder).acquire(timeout=0), explain_errors(self.folder):
                header = usable_header(self.folder)
                index = {} if header is None else read_index(self.folder, header)
                damaged = damaged_images(self.folder, index)
                (self.folder / DAMAGED).unlink(missing_ok=True)
                if damaged:
                    sound = {key: entry for key, entry in index.items() if key not in damaged}
                    replace_index(self.folder, sound).close()
        except Timeout:
            raise RunError(f"{str(self.folder)!r} was not verified: another process is adding images to it.") from None
        return sorted(damaged)


def damaged_images(folder: Path, index: Mapping[str, IndexEntry]) -> set[str]:
    """Return the keys of the images whose pixels or features in the store are not those that were written."""
    image_bytes = slot_bytes(read_header(folder)) if index else 0
    files = {name: OpenFile(pixel_file(folder, name)) for name in {entry.file for entry in index.values()}}
    ordered = sorted(index.items(), key=lambda item: (item[1].file, item[1].slot))

    def damaged_in_chunk(start: int) -> list[str]:
        image = np.empty(image_bytes, np.uint8)
        chunk = ordered[start : start + _CHUNK]
        return [key for key, entry in chunk if not files[entry.file].read(entry.slot, image, entry.checksum)]

    damaged: set[str] = set()
    with ThreadPoolExecutor(os.cpu_count()) as threads, progress_bar("Verifying images", len(index)) as advance:
        for found in threads.map(damaged_in_chunk, range(0, len(ordered), _CHUNK)):
            damaged.update(found)
            advance(_CHUNK)
    return damaged


def cached_stores(cache_dir: Path, *, count: bool = True) -> list[CachedStore]:
    """Return the stores in a cache folder, of all versions, the most recently used first; `count` their images, or do not."""
    found = []
    for folder in cache_dir.iterdir() if cache_dir.is_dir() else ():
        match read_header(folder):
            case {"format": int(version), "origin": str(origin), "size": int(size)} as header if size > 0:
                usable = usable_header(folder) if count else None
                with suppress(FileNotFoundError):  # deleted at this moment
                    images = 0 if usable is None else len(read_index(folder, usable))
                    disk_bytes = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
                    last_used = (folder / HEADER).stat().st_mtime
                    contents = contents_of(header)
                    found.append(CachedStore(folder, origin, size, images, disk_bytes, last_used, version, contents))
    return sorted(found, key=lambda store: -store.last_used)
