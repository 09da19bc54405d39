"""Decoding images into their slots: what the worker processes that fill a store run. Its imports are fast."""

import os
from collections.abc import Sequence
from pathlib import Path

from balanced_mixup.data.manifest import Images
from balanced_mixup.data.memory import keep_freed_memory
from balanced_mixup.data.store_format import IndexEntry, write_pixels
from balanced_mixup.errors import DataError


def decode_into(path: Path, images: Images, size: int, slots: Sequence[int]) -> list[IndexEntry | None]:
    """Decode images, resized to (size, size), into their slots of the file at `path`.

    Returns:
        The index entry of each image; None if it could not be read or changed in the meantime.
    """
    keep_freed_memory()
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
    return IndexEntry(stamp.lasting_fingerprint, scan.digest, scan.height, scan.width, slot)
