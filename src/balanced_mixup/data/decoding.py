"""Decoding: the bytes of any image file become RGB uint8 (H, W, 3) in one defined way.

- The EXIF orientation is applied; of an animation or a multi-page file the first frame is read.
- Pixel formats become RGB as `data.pixel_formats` says.
- Images are resized to a square with Pillow's antialiased bilinear filter. A JPEG more than twice as large is first decoded
  at 1/2, 1/4 or 1/8, never below twice the requested size; the result depends on the file, the size and the bit depth alone.
- An interrupted or damaged file is an error wherever its format makes it possible to notice (`data.damage`).
- The size is checked before anything is decoded, and images of together at most `max_megapixels` are decoded at once.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from balanced_mixup.data.damage import check_png, decode_jpeg
from balanced_mixup.data.pillow_scope import pillow_scope
from balanced_mixup.data.pixel_budget import budget
from balanced_mixup.data.pixel_formats import check_colour_depth, to_rgb
from balanced_mixup.errors import DataError

# Raster formats only: Pillow would run Ghostscript on an EPS, which must not happen to an uploaded file.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

LONGEST_SIDE = 65_535  # of a JPEG, too; a resize needs memory in proportion to it
BYTES_PER_PIXEL = 16  # memory that decoding needs at most, and more than any file has

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoding:
    """How image files are decoded, where there is a choice.

    Args:
        max_megapixels: Limit on the pixels of an image, and of all images that are decoded at once, in millions.
        bit_depth: Bits that the values of 16-bit greyscale have in PNG and TIFF files, 9 to 16; None: as the file says.
    """

    max_megapixels: float = 100
    bit_depth: int | None = None

    @property
    def max_pixels(self) -> int:
        """Limit on the pixels of an image."""
        return int(self.max_megapixels * 10**6)

    def check_size(self, width: int, height: int, name: str) -> None:
        """Raise DataError if an image has too many pixels, or is too long for a resize in little memory."""
        if width * height > self.max_pixels:
            raise self.too_many_pixels(name, f"{width * height:,}")
        if max(width, height) > LONGEST_SIDE:
            message = f"{name}: expected sides of at most {LONGEST_SIDE:,} pixels, got {width:,} x {height:,}"
            raise DataError.of("image too large", message, "Cut it into tiles.")

    def too_many_pixels(self, name: str, got: str) -> DataError:
        """Return the error of an image above the limit."""
        return too_large(f"{name}: expected at most {self.max_megapixels:g} megapixels, got {got} pixels")


AS_FILES_SAY = Decoding()


def decode(
    data: bytes, name: str, size: int | None, decoding: Decoding = AS_FILES_SAY, *, at_least: int | None = None
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Return RGB pixels, uint8 (H, W, 3) or (size, size, 3), and height and width before resizing.

    Args:
        data: The content of the file.
        name: Of the image, for messages.
        size: Side of the square to resize to; the original size if None.
        decoding: Limit on pixels, and bit depth.
        at_least: Without `size`, a JPEG may be decoded at 1/2, 1/4 or 1/8, as long as no side becomes shorter than this.

    Raises:
        DataError: Damaged, not an image, too large, or of a pixel format without a defined range.
    """
    if not data:
        raise DataError.of("empty file", f"{name}: the file has 0 bytes", "Restore the file, or remove it from the data.")
    shortest = at_least if size is None else 2 * size
    with _explained(name, decoding), pillow_scope(decoding.max_pixels):
        check_png(data)
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            decoding.check_size(width, height, name)
            if shortest is not None:
                image.draft(None, (shortest, shortest))
            # A progressive JPEG has all of its coefficients in memory, however much it is reduced.
            decoded = width * height if "progressive" in image.info else image.width * image.height
            with budget.reserve(decoded, decoding.max_pixels):
                pixels, orientation = _decoded(data, image, name, size, decoding)
    return pixels, (width, height) if orientation >= 5 else (height, width)


def decode_opened(image: Image.Image, name: str, size: int | None, decoding: Decoding = AS_FILES_SAY) -> npt.NDArray[np.uint8]:
    """Return the pixels of an image of Pillow, uint8 (H, W, 3) or (size, size, 3), as of a file. DataError as `decode`."""
    with _explained(name, decoding), pillow_scope(decoding.max_pixels):
        decoding.check_size(*image.size, name)
        return _decoded(None, image, name, size, decoding)[0]


def _decoded(
    data: bytes | None, image: Image.Image, name: str, size: int | None, decoding: Decoding
) -> tuple[npt.NDArray[np.uint8], int]:
    """Return RGB pixels and the EXIF orientation."""
    check_colour_depth(image, name, decoding.bit_depth)
    pixels = None if data is None else decode_jpeg(data, image)
    if pixels is None:
        image.load()
        rgb = to_rgb(image, name, decoding.bit_depth)
    else:
        rgb = Image.fromarray(pixels)
    orientation = _orientation(image)
    if orientation in _TRANSPOSE:
        rgb = rgb.transpose(_TRANSPOSE[orientation])
    return np.array(resize(rgb, size)), orientation


@contextmanager
def _explained(name: str, decoding: Decoding) -> Iterator[None]:
    """Turn any failure inside the block into a DataError that names the image."""
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError as error:
        message = f"{name}: not an image, or cut off before its first pixel"
        raise DataError.of(
            "not an image", message, f"Readable formats are {', '.join(FORMATS)}; convert or restore it."
        ) from error
    except Image.DecompressionBombError as error:  # Pillow names the number of pixels first
        count = re.search(r"\d+", str(error))
        raise decoding.too_many_pixels(name, f"{int(count[0]):,}" if count else "more") from error
    except MemoryError as error:
        raise too_large(f"{name}: not enough memory to decode it") from error
    except Exception as error:  # a decoder can fail in any way on a damaged file
        message = f"{name}: truncated or damaged ({error or type(error).__name__})"
        raise DataError.of("damaged image", message, "Restore the file, or remove it from the data.") from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1..8."""
    if image.format == "TIFF":  # Pillow has applied it
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data: the pixels are still good
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def resize(image: Image.Image, size: int | None) -> Image.Image:
    """Return an image as a square of `size`, or as it is."""
    return image if size is None else image.resize((size, size), Image.Resampling.BILINEAR)


def too_large(message: str) -> DataError:
    """Return the error of an image, or a file, that needs too much memory."""
    remedy = (
        "Shrink the image, or cut it into tiles; or allow more with --max-megapixels, which takes up to "
        f"{BYTES_PER_PIXEL} MB of memory each."
    )
    return DataError.of("image too large", message, remedy)
