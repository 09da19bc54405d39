"""The files of a store of decoded images, and how they are read.

    pixels.bin    uint8 (slots, size, size, 3), raw; it only grows, and a slot named in the index never changes
    index.jsonl   [key, fingerprint, digest, height, width, slot] a line; the last line of a key counts
    store.json    the header: format, Pillow version, origin and size; a store with any other header is not used

The lock file beside the folder is locked by the process that adds images. It is never deleted: waiting processes have it open.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
from filelock import FileLock

from balanced_mixup.errors import RunError

PIXELS, INDEX, HEADER = "pixels.bin", "index.jsonl", "store.json"
CHANNELS = 3

_FORMAT = 1


class IndexEntry(NamedTuple):
    """An image in a store; the fingerprint is that of its stamp, "" if the image may still change without notice."""

    fingerprint: str
    digest: str
    height: int
    width: int
    slot: int


def header_for(origin: str, size: int) -> dict[str, Any]:
    """Return the header of a store; other versions of Pillow may decode to other pixels."""
    return {"format": _FORMAT, "pillow": PIL.__version__, "origin": origin, "size": size}


def read_header(folder: Path) -> Any:
    """Return the content of the header file in `folder`; None if it is missing or damaged."""
    try:
        return json.loads((folder / HEADER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_index(folder: Path, header: dict[str, Any]) -> dict[str, IndexEntry]:
    """Return the usable images by key; none if there is no store or if its header differs."""
    if read_header(folder) != header:
        return {}
    try:
        slots = (folder / PIXELS).stat().st_size // (header["size"] ** 2 * CHANNELS)
        lines = (folder / INDEX).read_bytes().splitlines()
    except OSError:
        return {}
    entries = {}
    for line in lines:
        with suppress(ValueError, TypeError):  # a line truncated by a kill
            key, *values = json.loads(line)
            entries[key] = IndexEntry(*values)
    # If pixels are lost, none are used: a slot that came back would hold another image.
    return entries if all(0 <= entry.slot < slots for entry in entries.values()) else {}


def lock_of(folder: Path) -> FileLock:
    """Return the lock of the store in `folder`."""
    return FileLock(folder.with_name(f"{folder.name}.lock"))


def write_pixels(file: int, pixels: npt.NDArray[np.uint8], slot: int) -> None:
    """Write one image to its slot."""
    data, offset = memoryview(pixels.tobytes()), slot * pixels.nbytes
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


@contextmanager
def explain_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError with the files of a store into a RunError with remedies."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The store of decoded images in {str(folder)!r} cannot be written: {error}. Choose another folder with "
            "`--cache-dir`, or `--cache ram` or `none` to write nothing."
        ) from error
