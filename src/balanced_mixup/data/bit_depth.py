"""Noticing that 16-bit files use fewer bits, so that most of the 256 grey levels of the pixels are lost."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from balanced_mixup.data.decoding import FORMATS, Decoding
from balanced_mixup.data.pillow_scope import pillow_scope
from balanced_mixup.data.pixel_budget import budget
from balanced_mixup.data.pixel_formats import is_deep_colour, is_deep_grey, stated_bits
from balanced_mixup.errors import Problem

_SAMPLE = 16  # files that are looked at
_FEWEST_UNUSED = 2  # bits; a dark data set may well leave one unused


def sample(files: Sequence[str]) -> list[str]:
    """Return the files that are looked at, evenly spaced over all."""
    return [files[place] for place in np.linspace(0, len(files) - 1, min(_SAMPLE, len(files))).astype(int).tolist()]


def unused_bits(paths: Sequence[Path], decoding: Decoding) -> tuple[Problem, ...]:
    """Return a warning if none of these files that has 16 bits uses the upper ones."""
    if decoding.bit_depth is not None:
        return ()
    tops = [top for top in (_top(path, decoding) for path in paths) if top is not None]
    bits = max(tops, default=2**16).bit_length()
    if bits > 16 - _FEWEST_UNUSED:
        return ()
    bits = max(bits, 9)
    message = (
        f"{len(tops):,} of {len(paths):,} files looked at have 16 bits, but values up to {max(tops):,} only, which leave "
        f"{(max(tops) + 128) // 257 + 1} of 256 grey levels"
    )
    remedy = (
        f"If their values have {bits} bits, say so with --bit-depth {bits} (greyscale); or save them with 8 bits, with "
        "the same scale for all images."
    )
    return (Problem("unused bits", message, remedy, fatal=False),)


def _top(path: Path, decoding: Decoding) -> int | None:
    """Return the largest value of a file whose values have 16 bits; None for others and for those that cannot be read."""
    with suppress(Exception), pillow_scope(decoding.max_pixels), Image.open(path, formats=FORMATS) as image:
        grey = is_deep_grey(image) and stated_bits(image) == 16
        if (grey or is_deep_colour(image)) and (pixels := image.width * image.height) <= decoding.max_pixels:
            with budget.reserve(pixels, decoding.max_pixels):
                values = np.asarray(image)
                return int(values.max()) if grey else int(values[..., :3].max()) * 257
    return None
