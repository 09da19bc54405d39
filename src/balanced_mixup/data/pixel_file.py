"""A file of arrays of one shape, such as decoded images uint8 (H, W, 3), in numbered slots: writing, reading, verifying one."""

import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt

try:
    import fcntl
except ImportError:  # Windows: nobody can see which files are in use
    fcntl = None  # type: ignore[assignment]  # Windows has none


class OpenFile:
    """A pixel file, open for reading as long as this object lives, even if it is deleted; others see that it is in use."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`."""
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY)
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __del__(self) -> None:
        """Close it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def read(self, slot: int, image: npt.NDArray[Any], checksum: int | None) -> bool:
        """Read a slot into `image`, and return whether it holds what was written there, by its checksum if one is given."""
        try:
            complete = os.preadv(self.descriptor, [image.data], slot * image.nbytes) == image.nbytes
        except OSError:  # a failing disk
            return False
        return complete and (checksum is None or zlib.crc32(image.data) == checksum)


def write_image(file: int, image: npt.NDArray[Any], slot: int) -> int:
    """Write an image to a slot of the file with this descriptor, and return its checksum."""
    data, offset = memoryview(image.tobytes()), slot * image.nbytes
    checksum = zlib.crc32(data)
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
    return checksum


def in_use(path: Path) -> bool:
    """Return whether a process has the file at `path` open for reading."""
    if fcntl is None:
        return False
    try:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
