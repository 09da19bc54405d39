"""Images in files, opened when they are read, and images in memory."""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from balanced_mixup.data.bit_depth import sample, unused_bits
from balanced_mixup.data.decoding import (
    AS_FILES_SAY,
    BYTES_PER_PIXEL,
    FORMATS,
    Decoding,
    decode,
    decode_opened,
    resize,
    too_large,
)
from balanced_mixup.data.manifest import Images, Scan, Stamp
from balanced_mixup.data.pillow_scope import pillow_scope
from balanced_mixup.errors import DataError, Problem, UsageError, human_bytes

EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)


class FileImages(Images):
    """Images in files under one folder, opened when they are read."""

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        files: Sequence[str | Problem] | None = None,
        decoding: Decoding = AS_FILES_SAY,
    ) -> None:
        """Store where the images are; nothing is opened.

        Args:
            root: Folder that the paths of the files start from.
            names: Name of each image in messages and predictions.
            files: Path of each image from `root`, if it is not the name; or the problem that takes its place, which reading
                the image then raises.
            decoding: How they are decoded.
        """
        self.names, self.origin = names, os.path.realpath(root)
        self._root, self._files, self._decoding = root, names if files is None else files, decoding

    def decoded_by(self, decoding: Decoding) -> Self:
        """Return the same images, decoded in another way."""
        other = copy(self)
        other._decoding = decoding
        return other

    def remarks(self) -> tuple[Problem, ...]:
        """Return a warning if a sample of the files has 16 bits and leaves the upper ones unused."""
        files = sample([file for file in self._files if not isinstance(file, Problem)])
        return unused_bits([self._root / file for file in files], self._decoding)

    def digest(self, index: int) -> str:
        """Return the BLAKE2 hash of the bytes of the file, and of the bit depth if given. DataError if it cannot be read."""
        return self._hash(self._bytes(index))

    def scan(self, index: int, size: int | None = None) -> Scan:
        """Return pixels, original size and digest of image `index` from one read. DataError if it cannot be read."""
        data = self._bytes(index)
        pixels, (height, width) = decode(data, self.names[index], size, self._decoding)
        return Scan(pixels, height, width, self._hash(data))

    def key(self, index: int) -> str:
        """Return the path of image `index` from the folder."""
        file = self._files[index]
        return "" if isinstance(file, Problem) else file

    def stamp(self, index: int) -> Stamp | None:
        """Return size and timestamps of the file of image `index`, and the bit depth if given; None if there is none."""
        file = self._files[index]
        stamp = None if isinstance(file, Problem) else stamp_of(self._path(file))
        return stamp._replace(fingerprint=stamp.fingerprint + self._variant) if stamp and self._variant else stamp

    def subset(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return some of the images."""
        some = copy(self)
        some.names, some._files = [self.names[row] for row in rows], [self._files[row] for row in rows]
        return some

    def _bytes(self, index: int) -> bytes:
        file = self._files[index]
        if isinstance(file, Problem):
            raise DataError([file])
        return _read_file(self._path(file), self.names[index], self._decoding)

    def _path(self, file: str) -> str:
        """Return the path of a file, as text: of a million small images, paths as objects would take a tenth of the time."""
        return os.path.join(self._root, file)  # noqa: PTH118 - a Path costs more than the call

    @property
    def _variant(self) -> str:
        """What distinguishes the pixels from those of the same files by default."""
        return "" if self._decoding.bit_depth is None else f"-{self._decoding.bit_depth}bit"

    def _hash(self, data: bytes) -> str:
        return _hash(data, self._variant)


class ArrayImages(Images):
    """Images in memory: uint8 (N, H, W) greyscale or (N, H, W, 3) RGB."""

    def __init__(
        self, names: Sequence[str], pixels: npt.NDArray[np.uint8], file: Path | None = None, stamp: Stamp | None = None
    ) -> None:
        """Keep `pixels` without a copy.

        Args:
            names: One name an image.
            pixels: uint8 (N, H, W) or (N, H, W, 3).
            file: The file that they were read from, if any.
            stamp: Of that file, from before it was read.
        """
        self.names, self.origin = names, None if file is None else str(file.resolve())
        self._pixels, self._rows = pixels, np.arange(len(pixels))
        self._file, self._stamp = file, stamp

    def digest(self, index: int) -> str:
        """Return the BLAKE2 hash of the shape and bytes of the array."""
        pixels = self._pixels[self._rows[index]]
        return _hash(repr(pixels.shape).encode() + pixels.tobytes())

    def scan(self, index: int, size: int | None = None) -> Scan:
        """Return pixels, original size and digest of image `index`."""
        height, width = self._pixels.shape[1:3]
        image = Image.fromarray(self._pixels[self._rows[index]]).convert("RGB")
        return Scan(np.array(resize(image, size)), height, width, self.digest(index))

    def key(self, index: int) -> str:
        """Return the name of image `index`."""
        return self.names[index]

    def stamp(self, index: int) -> Stamp | None:
        """Return size and timestamps of the file when it was read."""
        return self._stamp

    def subset(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return some of the images."""
        some = type(self)([self.names[row] for row in rows], self._pixels, self._file, self._stamp)
        some._rows, some.drawn = self._rows[np.asarray(rows, np.int64)], self.drawn
        return some

    def __getstate__(self) -> dict[str, object]:
        """Pickle the pixels of these images alone."""
        return self.__dict__ | {"_pixels": self._pixels[self._rows], "_rows": np.arange(len(self._rows))}


def load_rgb(
    source: str | Path | BinaryIO, size: int | None = None, *, at_least: int | None = None, decoding: Decoding = AS_FILES_SAY
) -> npt.NDArray[np.uint8]:
    """Read one image as RGB uint8 (H, W, 3), or (size, size, 3); `data.decoding` says how.

    Args:
        source: A path or an open binary file.
        size: Side of the square to resize to; the original size if None.
        at_least: Without `size`, a JPEG may be decoded at 1/2, 1/4 or 1/8, as long as no side becomes shorter than this.
        decoding: Limit on pixels, and bit depth.

    Raises:
        DataError: Missing, a folder, empty, damaged, not an image, too large, or of a pixel format without a defined range.
    """
    if isinstance(source, str | Path):
        name, data = str(source), _read_file(str(source), str(source), decoding)
    else:
        name, data = str(getattr(source, "name", "image")), source.read()
    return decode(data, name, size, decoding, at_least=at_least)[0]


def is_image(path: Path) -> bool:
    """Return whether the content of a file begins like an image that can be read, whatever its suffix."""
    try:
        with pillow_scope(AS_FILES_SAY.max_pixels), Image.open(path, formats=FORMATS):
            return True
    except Exception:  # a decoder can fail in any way on another file
        return False


def to_pixels(
    image: "Image.Image | npt.NDArray[np.uint8]", size: int, name: str, decoding: Decoding = AS_FILES_SAY
) -> npt.NDArray[np.uint8]:
    """Return an image in memory as it is read from a file, RGB uint8 (size, size, 3).

    Args:
        image: Pillow's, in any mode and not necessarily loaded; or pixels, uint8 (H, W, 3) RGB or (H, W) grey.
        size: Side of the square to resize to.
        name: Of the image, for messages.
        decoding: Limit on pixels, and bit depth.

    Raises:
        DataError: It is damaged, too large, or of a pixel format without a defined range.
        UsageError: It is an array of another shape or type.
    """
    if isinstance(image, Image.Image):
        return decode_opened(image, name, size, decoding)
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        raise UsageError(
            f"Expected {name} to be uint8 of shape (H, W, 3) or (H, W), but got {image.dtype} of shape {image.shape}."
            + (" Values from 0 to 1 become uint8 by `(255 * image).astype(np.uint8)`." * (image.dtype.kind == "f"))
        )
    return np.array(resize(Image.fromarray(image).convert("RGB"), size))


def stamp_of(path: Path | str) -> Stamp | None:
    """Return size and timestamps of a file; None if there is none."""
    now = time.time_ns()
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
    except (OSError, ValueError):
        return None
    fingerprint = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"
    return Stamp(fingerprint, max(status.st_mtime_ns, status.st_ctime_ns), now)


def _hash(data: bytes, variant: str = "") -> str:
    found = hashlib.blake2b(data, digest_size=16)
    found.update(variant.encode())
    return found.hexdigest()


def _read_file(place: str, name: str, decoding: Decoding) -> bytes:
    most = decoding.max_pixels * BYTES_PER_PIXEL
    try:
        status = _status(place)
        if status is not None and stat.S_ISREG(status.st_mode):
            if status.st_size > most:
                raise too_large(f"{name}: expected a file of at most {human_bytes(most)}, got {human_bytes(status.st_size)}")
            with open(place, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs more than the call
                return file.read()
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise DataError.of("not a file", f"{name}: expected an image file, got a folder", "Name the image files in it.")
        if status is not None:
            raise DataError.of("not a file", f"{name}: expected an image file, got a device or pipe", "Name a regular file.")
    except (OSError, ValueError) as error:  # no permission, a failing disk, an impossible name
        raise DataError.of("unreadable file", f"{name}: {error}", "Check the file's permissions and the disk.") from error
    except MemoryError as error:
        raise too_large(f"{name}: not enough memory to read it") from error
    path = Path(place)
    if path.is_symlink():
        message = f"{name}: a link that leads to no file ({path.readlink()})"
        raise DataError.of("missing file", message, "Restore the file that it leads to, or remove the link.")
    remedy = "Check the folder of the images (--images) and the spelling, or restore the file."
    raise DataError.of("missing file", f"{name}: no such file" + (f" ({path})" if str(path) != name else ""), remedy)


def _status(place: str) -> os.stat_result | None:
    """Return the status of a file; None if there is none, as for a link that leads nowhere."""
    try:
        return os.stat(place)  # noqa: PTH116 - a Path costs more than the call
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
