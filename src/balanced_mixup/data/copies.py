"""Which images of a data set are copies of each other: of the same content, or near copies."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.near_copies import joined, near_copies
from balanced_mixup.data.pixels import Pixels
from balanced_mixup.data.store_format import copies_file
from balanced_mixup.data.thumbnails import SIDE, Look, Looks, Pixels8, large_array, thumbnail
from balanced_mixup.errors import RunError
from balanced_mixup.files import write_text
from balanced_mixup.progress import progress_bar

log = logging.getLogger("balanced_mixup")

_FORMAT = 1  # of what is kept in a store, and of the search: another one may find other copies
_CHUNK = 256  # images that are looked at at a time


@dataclass(frozen=True)
class Copies:
    """Copies among N images.

    Args:
        same: (N,), equal for images of the same content; "" for one that could not be read.
        near: Pairs of contents (as in `same`) of near copies. A third near copy need not be paired with both.
    """

    same: tuple[str, ...]
    near: tuple[tuple[str, str], ...] = ()

    @cached_property
    def together(self) -> tuple[str, ...]:
        """(N,), equal for images of the same content and for near copies, of near copies, too; "" for an unreadable one."""
        if not self.near:
            return self.same
        contents = tuple(dict.fromkeys((*self.same, *chain.from_iterable(self.near))))
        place = {content: position for position, content in enumerate(contents)}
        pairs = np.array([(place[one], place[other]) for one, other in self.near], np.int64)
        sets = joined(np.arange(len(contents)), pairs).tolist()
        first: dict[int, str] = {}
        name = {content: first.setdefault(of, content) for content, of in zip(contents, sets, strict=True)}
        return tuple(name[content] for content in self.same)

    def subset(self, rows: npt.NDArray[np.int64]) -> "Copies":
        """Return the copies among some of the images; two that are near copies of a third stay together without it."""
        return Copies(tuple(self.same[row] for row in rows), self.near)


def find_copies(looks: Looks) -> Copies:
    """Compare images with each other by what they look like; of too many, find those of the same content alone."""
    first: dict[str, int] = {}
    for row, content in enumerate(looks.pixels):
        if content:
            first.setdefault(content, row)
    rows = list(first.values())
    if looks.thumbnails is None:
        log.warning(
            "Near copies were not looked for: among %s images that takes hours. Identical ones are found.", f"{len(rows):,}"
        )
        return Copies(tuple(looks.pixels))
    thumbnails = looks.thumbnails if len(rows) == len(looks.pixels) else looks.thumbnails[rows]
    contents = list(first)
    pairs = near_copies(thumbnails).tolist()
    return Copies(tuple(looks.pixels), tuple((contents[one], contents[other]) for one, other in pairs))


def looks_of(pixels: Pixels, shapes: npt.NDArray[np.int64]) -> Looks:
    """Return what images look like, given their pixels, and their heights and widths (N, 2): 0 for one to leave out."""
    looks = Looks(len(shapes))
    for row, image in _each(pixels, np.flatnonzero(shapes[:, 0])):
        height, width = shapes[row].tolist()
        looks.put(row, Look.at(image, height, width))
    return looks


def copied_rows(pixels: Pixels, of: Pixels) -> npt.NDArray[np.int64]:
    """Return the positions in `pixels`, ascending, of the images that are near copies of one in `of`."""
    known, n = of.shape[0], pixels.shape[0]
    thumbnails = large_array((known + n, SIDE, SIDE, 3), np.uint8)
    for images, start in ((of, 0), (pixels, known)):
        for row, image in _each(images, np.arange(images.shape[0])):
            thumbnails[start + row] = thumbnail(image)
    return np.unique(near_copies(thumbnails, known)[:, 1]) - known


def _each(pixels: Pixels, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, Pixels8]]:
    """Yield rows with their images, (H, W, 3)."""
    with progress_bar("Looking at images", len(rows)) as advance:
        for chunk in np.split(rows, range(_CHUNK, len(rows), _CHUNK)):
            yield from zip(chunk.tolist(), pixels.gather(chunk).numpy(), strict=True)
            advance(len(chunk))


def kept_copies(store: Path, digests: Sequence[str], find: Callable[[], Copies]) -> Copies:
    """Return what `find` finds among images in a store, which is kept there for the next training.

    Args:
        store: Its folder.
        digests: (N,), of the content of the images.
        find: Compares them.
    """
    key = hashlib.blake2b(repr((_FORMAT, tuple(digests))).encode(), digest_size=8).hexdigest()
    file = copies_file(store, key)
    with suppress(OSError, ValueError, KeyError, TypeError):
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        kept = Copies(tuple(content["same"]), tuple((str(one), str(other)) for one, other in content["near"]))
        if len(kept.same) == len(digests):
            return kept
    found = find()
    with suppress(OSError, RunError):  # where nothing can be written, it is found again
        write_text(file, json.dumps({"same": found.same, "near": found.near}))
    return found
