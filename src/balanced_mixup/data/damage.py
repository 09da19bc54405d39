"""Damage that Pillow does not notice: of PNG it skips most checksums, of JPEG the decoder's warnings.

- PNG: the CRC of each chunk is verified, that of a comment too, and the last chunk must be there.
- JPEG: decoded by simplejpeg, where every warning of libjpeg is an error ("premature end of data segment", "extraneous bytes
  before marker"). It is the same library as Pillow's and gives the same pixels, in less time.

Other formats have no checksums: a truncated file is noticed, changed bytes often are not. A WebP whose end is zeros decodes
without a complaint, and it cannot be told from an intact one: large black areas are compressed to zeros as well.
"""

import struct
import zlib

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_png(data: bytes) -> None:
    """Raise ValueError if `data` are a PNG with a chunk that is damaged, or without its end."""
    if not data.startswith(_PNG_SIGNATURE):
        return
    view, start = memoryview(data), len(_PNG_SIGNATURE)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            break
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise ValueError(f"the checksum of its chunk {kind.decode('latin-1')!r} at byte {start} is wrong")
        if kind == b"IEND":
            return
        start = end
    raise ValueError("it ends before its last chunk")


def decode_jpeg(data: bytes, image: Image.Image) -> npt.NDArray[np.uint8] | None:
    """Return a JPEG as RGB uint8 (H, W, 3), at the size of `image`.

    Args:
        data: The file.
        image: The same file as Pillow opened it, not loaded, reduced by `draft` or not.

    Returns:
        None if Pillow has to decode it: another format, CMYK, or subsampling that TurboJPEG does not support.

    Raises:
        ValueError: It is damaged.
    """
    if not isinstance(image, JpegImageFile):
        return None
    converted = image.mode in ("L", "RGB")  # to RGB, as Pillow would; CMYK is only checked, in little time
    width, height = image.size if converted else (1, 1)
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, min_height=height, min_width=width)
    except ValueError as error:
        if "subsampling" in str(error):
            return None
        raise
    return pixels if converted else None
