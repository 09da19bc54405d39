"""Thumbnails of images, by which near copies are found, and the digest of the pixels themselves."""

import hashlib
import tempfile
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 32  # of a thumbnail, in pixels
MOST = 250_000  # images that are compared: the time grows with the square of their number, and more would take hours
Pixels8 = npt.NDArray[np.uint8]
Kind = TypeVar("Kind", bound=np.generic)

_IN_FILE = 2**28  # bytes from which an array is in a temporary file: a million thumbnails are not kept in memory


def thumbnail(pixels: Pixels8) -> Pixels8:
    """Return an image (H, W, 3) as (SIDE, SIDE, 3)."""
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3))


class Look(NamedTuple):
    """What an image looks like: its thumbnail, uint8 (SIDE, SIDE, 3), if it is needed, and the digest of its pixels."""

    thumbnail: Pixels8 | None
    pixels: str

    @classmethod
    def at(cls, pixels: Pixels8, height: int, width: int, *, with_thumbnail: bool = True) -> "Look":
        """Look at the decoded pixels, uint8 (H, W, 3), of an image of that height and width before it was resized."""
        state = hashlib.blake2b(repr((height, width)).encode(), digest_size=16)
        state.update(np.ascontiguousarray(pixels).data)
        return cls(thumbnail(pixels) if with_thumbnail else None, state.hexdigest())


class Looks:
    """What N images look like.

    `pixels` are their digests, "" for one not seen yet; `thumbnails` uint8 (N, SIDE, SIDE, 3), None for more than `MOST`.
    """

    def __init__(self, n: int) -> None:
        """Make room for `n` images."""
        self.thumbnails = large_array((n, SIDE, SIDE, 3), np.uint8) if n <= MOST else None
        self.pixels = [""] * n

    def put(self, row: int, look: Look) -> None:
        """Keep what image `row` looks like."""
        if self.thumbnails is not None and look.thumbnail is not None:
            self.thumbnails[row] = look.thumbnail
        self.pixels[row] = look.pixels


def large_array(shape: tuple[int, ...], dtype: type[Kind]) -> npt.NDArray[Kind]:
    """Return an array of zeros, in a temporary file without a name if it is large."""
    if np.prod(shape, dtype=np.int64) * np.dtype(dtype).itemsize <= _IN_FILE:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)
