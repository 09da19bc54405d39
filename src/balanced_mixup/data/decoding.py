"""Decoding images into their places in a file: what the processes that fill a store do. Imports nothing that takes long."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import Images
from balanced_mixup.data.memory import keep_freed_memory
from balanced_mixup.errors import DataError


class Entry(NamedTuple):
    """What a store knows of an image: the mark of its stamp ("" where it may still change unnoticed), digest, size, place."""

    mark: str
    digest: str
    height: int
    width: int
    slot: int


def decode_into(path: Path, images: Images, size: int, slots: Sequence[int]) -> list[Entry | None]:
    """Decode images, resized to (size, size), into their slots of the file at `path`.

    Returns:
        For each image what is known of it, or None where it could not be read or changed meanwhile.
    """
    keep_freed_memory()
    file = os.open(path, os.O_WRONLY)
    try:
        return [_decode_one(file, images, row, size, slot) for row, slot in enumerate(slots)]
    finally:
        os.close(file)


def _decode_one(file: int, images: Images, row: int, size: int, slot: int) -> Entry | None:
    stamp = images.stamp(row)  # before the reading, so that a change after it is noticed now or next time
    try:
        scan = images.scan(row, size)
    except DataError:
        return None
    write_pixels(file, scan.pixels, slot)
    again = images.stamp(row)
    if stamp is None or again is None or again.mark != stamp.mark:
        return None
    return Entry(stamp.lasting_mark, scan.digest, scan.height, scan.width, slot)


def write_pixels(file: int, pixels: npt.NDArray[np.uint8], slot: int) -> None:
    """Write one image to its slot."""
    data, offset = memoryview(pixels.tobytes()), slot * pixels.nbytes
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
