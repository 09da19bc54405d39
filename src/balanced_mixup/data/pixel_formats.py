"""From the pixel format of a file to 8-bit RGB.

- Palette images go through their palette; greyscale is replicated; 1-bit becomes 0 and 255; CMYK, YCbCr, LAB and HSV are
  converted by Pillow.
- Transparency (an alpha channel, or a colour or palette entry marked transparent) is composited over black.
- Greyscale of more than 8 bits is scaled from its whole range to 0..255, never clipped or stretched per image, so that
  intensities stay comparable. The range is that of the bits which the file says its values have: 0..65535, or 0..4095 of a TIFF
  with 12 bits per sample. A file of 16 bits does not say that its scanner measured only 12; `bit_depth` does. Where 0 is white
  (TIFF), values are inverted.
- Pillow itself reduces 16-bit colour to the upper eight bits.
- Floating point, and 32-bit integers outside 0..65535, have no defined range and are an error.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

from balanced_mixup.errors import DataError

_WHITE_IS_ZERO = 0  # TIFF's PhotometricInterpretation


def to_rgb(image: Image.Image, name: str, bit_depth: int | None = None) -> Image.Image:
    """Return an image as RGB.

    Args:
        image: Of any mode.
        name: Of the image, for messages.
        bit_depth: Bits that the values of 16-bit greyscale have in PNG and TIFF files; those that the file says if None.

    Raises:
        DataError: It has no defined range, or values above `bit_depth`.
    """
    if is_deep_grey(image):
        return Image.fromarray(_to_eight_bits(image, name, bit_depth)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def is_deep_grey(image: Image.Image) -> bool:
    """Return whether an image is greyscale of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def is_deep_colour(image: Image.Image) -> bool:
    """Return whether an image, not loaded yet, is a file with 16 bits a channel of colour, which Pillow reduces to 8."""
    if is_deep_grey(image):
        return False
    if image.format == "PNG":
        return any("16" in str(tile.args) for tile in getattr(image, "tile", ()))  # such as RGB;16B
    return image.format == "TIFF" and max(_bits_per_sample(image)) > 8


def check_colour_depth(image: Image.Image, name: str, bit_depth: int | None) -> None:
    """Raise DataError if an image, not loaded yet, is of 16-bit colour and should be scaled by `bit_depth`."""
    if bit_depth is not None and is_deep_colour(image):
        message = f"{name}: expected greyscale with a bit depth of {bit_depth}, got 16-bit colour"
        raise DataError.of("16-bit colour", message, "Save it with 8 bits a channel, with the same scale for all images.")


def stated_bits(image: Image.Image) -> int:
    """Return the bits of greyscale values as the file states them; 16 where it says nothing or more."""
    return min(16, *_bits_per_sample(image)) if image.format == "TIFF" else 16


def _bits_per_sample(image: Image.Image) -> tuple[int, ...]:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITSPERSAMPLE, (1,))
    return tuple(bits) if isinstance(bits, tuple) else (int(bits),)


def _to_eight_bits(image: Image.Image, name: str, bit_depth: int | None) -> npt.NDArray[np.uint8]:
    """Scale greyscale of more than 8 bits from its whole range to 0..255, rounding."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > 65535:
        message = f"{name}: expected at most 16 bits a channel, got pixel mode {image.mode} with values {low:g} to {high:g}"
        remedy = "Save it as 8-bit or 16-bit greyscale, with the same scale for all images."
        raise DataError.of("unknown pixel range", message, remedy)
    bits = stated_bits(image)
    if bit_depth is not None and bits == 16 and image.format in ("PNG", "TIFF"):
        bits = bit_depth
    if high >= 2**bits:
        message = f"{name}: expected values below {2**bits:,} with a bit depth of {bits}, got {high:,}"
        raise DataError.of("beyond the bit depth", message, "Give the bit depth of the deepest images (--bit-depth).")
    inverted = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
    scale = _scale(bits)
    scaled: npt.NDArray[np.uint8] = (scale[::-1] if inverted else scale)[values]
    return scaled


@cache
def _scale(bits: int) -> npt.NDArray[np.uint8]:
    """Return the 8-bit value of each value of `bits` bits, uint8 (2^bits,)."""
    top = 2**bits - 1
    scale: npt.NDArray[np.uint8] = ((np.arange(top + 1, dtype=np.int64) * 2 * 255 + top) // (2 * top)).astype(np.uint8)
    return scale
