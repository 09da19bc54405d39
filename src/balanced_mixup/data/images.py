"""Reading images: the content of any image file becomes RGB uint8 (H, W, 3) in one defined way.

- The EXIF orientation is applied; of an animation or a multi-page file the first frame is read.
- Palette images go through their palette; greyscale is replicated; 1-bit becomes 0 and 255; CMYK, YCbCr, LAB and HSV are
  converted by Pillow.
- Transparency (an alpha channel, or a colour or palette entry marked transparent) is composited over black.
- 16-bit greyscale is scaled from 0..65535 to 0..255, never clipped or stretched per image, so that intensities stay
  comparable. Pillow itself reduces 16-bit colour to the upper eight bits.
- Floating point, and 32-bit integers outside 0..65535, have no defined range and are an error.
- Images are resized to a square with Pillow's antialiased bilinear filter. A JPEG more than twice as large is first decoded
  at 1/2, 1/4 or 1/8, never below twice the requested size; the result depends on the file and the size alone.
"""

import hashlib
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from balanced_mixup.data.manifest import Images, Scan, Stamp
from balanced_mixup.errors import DataError, Problem, UsageError

# Raster formats only: Pillow would run Ghostscript on an EPS, which must not happen to an uploaded file.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class FileImages(Images):
    """Images in files under one folder, opened when they are read."""

    def __init__(self, root: Path, names: Sequence[str], files: Sequence[str | Problem] | None = None) -> None:
        """Store where the images are; nothing is opened.

        Args:
            root: Folder that the paths of the files start from.
            names: Name of each image in messages and predictions.
            files: Path of each image from `root`, if it is not the name; or the problem that takes its place, which reading
                the image then raises.
        """
        self.names, self.origin = names, str(root.resolve())
        self._root, self._files = root, names if files is None else files

    def digest(self, index: int) -> str:
        """Return the BLAKE2 hash of the bytes of the file. DataError if it cannot be read."""
        return _hash(self._bytes(index))

    def scan(self, index: int, size: int | None = None) -> Scan:
        """Return pixels, original size and digest of image `index` from one read. DataError if it cannot be read."""
        data = self._bytes(index)
        pixels, (height, width) = _decode(data, self.names[index], size)
        return Scan(pixels, height, width, _hash(data))

    def key(self, index: int) -> str:
        """Return the path of image `index` from the folder."""
        file = self._files[index]
        return "" if isinstance(file, Problem) else file

    def stamp(self, index: int) -> Stamp | None:
        """Return size and timestamps of the file of image `index`; None if there is none."""
        file = self._files[index]
        return None if isinstance(file, Problem) else stamp_of(self._root / file)

    def subset(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return some of the images."""
        some = copy(self)
        some.names, some._files = [self.names[row] for row in rows], [self._files[row] for row in rows]
        return some

    def _bytes(self, index: int) -> bytes:
        file = self._files[index]
        if isinstance(file, Problem):
            raise DataError([file])
        return _read_file(self._root / file, self.names[index])


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
        return Scan(np.array(_resize(image, size)), height, width, self.digest(index))

    def key(self, index: int) -> str:
        """Return the name of image `index`."""
        return self.names[index]

    def stamp(self, index: int) -> Stamp | None:
        """Return size and timestamps of the file when it was read."""
        return self._stamp

    def subset(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return some of the images."""
        some = type(self)([self.names[row] for row in rows], self._pixels, self._file, self._stamp)
        some._rows = self._rows[np.asarray(rows, np.int64)]
        return some

    def __getstate__(self) -> dict[str, object]:
        """Pickle the pixels of these images alone."""
        return self.__dict__ | {"_pixels": self._pixels[self._rows], "_rows": np.arange(len(self._rows))}


def load_rgb(source: str | Path | BinaryIO, size: int | None = None, *, at_least: int | None = None) -> npt.NDArray[np.uint8]:
    """Read one image as RGB uint8 (H, W, 3), or (size, size, 3); the module says how.

    Args:
        source: A path or an open binary file.
        size: Side of the square to resize to; the original size if None.
        at_least: Without `size`, a JPEG may be decoded at 1/2, 1/4 or 1/8, as long as no side becomes shorter than this.

    Raises:
        DataError: Missing, a folder, empty, damaged, not an image, too large, or of a pixel format without a defined range.
    """
    if isinstance(source, str | Path):
        return _decode(_read_file(Path(source), str(source)), str(source), size, at_least)[0]
    return _decode(source.read(), str(getattr(source, "name", "image")), size, at_least)[0]


def is_image(path: Path) -> bool:
    """Return whether the content of a file begins like an image that can be read, whatever its suffix."""
    try:
        with _pillow_is_quiet, Image.open(path, formats=FORMATS):
            return True
    except Exception:  # a decoder can fail in any way on another file
        return False


def to_pixels(image: "Image.Image | npt.NDArray[np.uint8]", size: int, name: str) -> npt.NDArray[np.uint8]:
    """Return an image in memory as it is read from a file, RGB uint8 (size, size, 3).

    Args:
        image: Pillow's, in any mode and not necessarily loaded; or pixels, uint8 (H, W, 3) RGB or (H, W) grey.
        size: Side of the square to resize to.
        name: Of the image, for messages.

    Raises:
        DataError: It is damaged, or of a pixel format without a defined range.
        UsageError: It is an array of another shape or type.
    """
    if isinstance(image, Image.Image):
        try:
            image.load()
        except Exception as error:  # a decoder can fail in any way on a damaged file
            message = f"{name}: truncated or damaged ({error or type(error).__name__})"
            raise _error("damaged image", message, "Restore the file, or remove it from the data.") from error
        orientation = _orientation(image)
        rgb = _to_rgb(image, name)
        if orientation in _TRANSPOSE:
            rgb = rgb.transpose(_TRANSPOSE[orientation])
        return np.array(_resize(rgb, size))
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        raise UsageError(
            f"Expected {name} to be uint8 of shape (H, W, 3) or (H, W), but got {image.dtype} of shape {image.shape}."
            + (" Values from 0 to 1 become uint8 by `(255 * image).astype(np.uint8)`." * (image.dtype.kind == "f"))
        )
    return np.array(_resize(Image.fromarray(image).convert("RGB"), size))


def stamp_of(path: Path) -> Stamp | None:
    """Return size and timestamps of a file; None if there is none."""
    now = time.time_ns()
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    fingerprint = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"
    return Stamp(fingerprint, max(status.st_mtime_ns, status.st_ctime_ns), now)


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read_file(path: Path, name: str) -> bytes:
    try:
        if path.is_file():
            return path.read_bytes()
        if path.is_dir():
            raise _error("not a file", f"{name}: expected an image file, got a folder", "Name the image files in it.")
        if path.exists():
            raise _error("not a file", f"{name}: expected an image file, got a device or pipe", "Name a regular file.")
    except (OSError, ValueError) as error:  # no permission, a failing disk, an impossible name
        raise _error("unreadable file", f"{name}: {error}", "Check the file's permissions and the disk.") from error
    remedy = "Check the folder of the images (--images) and the spelling, or restore the file."
    raise _error("missing file", f"{name}: no such file" + (f" ({path})" if str(path) != name else ""), remedy)


def _error(kind: str, message: str, remedy: str) -> DataError:
    return DataError([Problem(kind, message, remedy)])


def _decode(
    data: bytes, name: str, size: int | None, at_least: int | None = None
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Return RGB pixels, and height and width before resizing."""
    shortest = at_least if size is None else 2 * size
    with _opened(data, name) as image:
        width, height = image.size
        if shortest is not None:
            image.draft(None, (shortest, shortest))
        image.load()
        orientation = _orientation(image)
        rgb = _to_rgb(image, name)
    if orientation in _TRANSPOSE:
        rgb = rgb.transpose(_TRANSPOSE[orientation])
    shape = (width, height) if orientation >= 5 else (height, width)
    return np.array(_resize(rgb, size)), shape


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open an image from its bytes; any failure inside the block becomes a DataError that names the image."""
    if not data:
        raise _error("empty file", f"{name}: the file has 0 bytes", "Restore the file, or remove it from the data.")
    try:
        with _pillow_is_quiet, Image.open(BytesIO(data), formats=FORMATS) as image:
            yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        message = f"{name}: not an image, or cut off before its first pixel"
        raise _error("not an image", message, f"Readable formats are {', '.join(FORMATS)}; convert or restore it.") from error
    except Image.DecompressionBombError as error:
        raise _error("image too large", f"{name}: {error}", "Shrink the image, or cut it into tiles.") from error
    except Exception as error:  # a decoder can fail in any way on a damaged file
        message = f"{name}: truncated or damaged ({error or type(error).__name__})"
        raise _error("damaged image", message, "Restore the file, or remove it from the data.") from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1..8."""
    if image.format == "TIFF":  # Pillow has applied it
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data: the pixels are still good
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_eight_bits(image, name)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image, name: str) -> npt.NDArray[np.uint8]:
    """Scale 16-bit greyscale from 0..65535 to 0..255, rounding."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > 65535:
        message = f"{name}: expected at most 16 bits a channel, got pixel mode {image.mode} with values {low:g} to {high:g}"
        remedy = "Save it as 8-bit or 16-bit greyscale, with the same scale for all images."
        raise _error("unknown pixel range", message, remedy)
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _resize(image: Image.Image, size: int | None) -> Image.Image:
    return image if size is None else image.resize((size, size), Image.Resampling.BILINEAR)


class _QuietPillow:
    """Silences Pillow's own warnings (damaged EXIF data, a large image) while any thread decodes.

    `warnings.catch_warnings` changes the whole process and does not support overlapping threads, so the first thread to
    enter sets the filter and the last one to leave removes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_pillow_is_quiet = _QuietPillow()
