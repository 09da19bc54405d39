"""Matching the names of images in two tables: as they are, else by file name, as long as no name could be meant twice."""

import posixpath
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import Problem
from balanced_mixup.words import counted


def _normal(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/").replace("\r\n", "\n").replace("\r", "\n"))


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


_KEYS: Mapping[str, Callable[[str], str]] = {
    "": lambda name: name,
    "by the path without its suffix": _stem,
    "by the file name": posixpath.basename,
    "by the file name without its suffix": lambda name: _stem(posixpath.basename(name)),
}


UNKNOWN_IMAGE = "image without a label"  # a kind of problem
_TWICE = "Keep one row per image."
_UNKNOWN = "These predictions are not scored. Check that the names are those of the labels."


@dataclass(frozen=True)
class Match:
    """Which row of a table belongs to each image.

    Args:
        rows: int64 (N,), a row for each image; -1 where there is none.
        how: Sentences on images that were not matched by their whole name.
        problems: Rows of the table with an image that it has named before, and with one that is not among the N (not fatal).
    """

    rows: npt.NDArray[np.int64]
    how: tuple[str, ...]
    problems: tuple[Problem, ...]


def match_names(images: Sequence[str], named: Sequence[str], where: Sequence[str]) -> Match:
    """Find each image among the names of a table.

    Whole names come first, then names without their suffix, file names, and file names without their suffix, each only where
    one image and one row have it.

    Args:
        images: Names of the N images.
        named: Names in the table.
        where: The place of each of them, for messages.
    """
    wanted, given = [_normal(name) for name in images], [_normal(name) for name in named]
    first: dict[str, int] = {}
    again = {row: earlier for row, name in enumerate(given) if (earlier := first.setdefault(name, row)) != row}
    rows = np.full(len(wanted), -1, np.int64)
    unused = dict.fromkeys(first.values())
    how = []
    for words, key in _KEYS.items():
        of_images, of_rows = [key(name) for name in wanted], {row: key(given[row]) for row in first.values()}
        images_with, rows_with = Counter(of_images), Counter(of_rows.values())
        row_of = {of_rows[row]: row for row in unused}
        found = 0
        for image in np.flatnonzero(rows < 0).tolist():
            name = of_images[image]
            if images_with[name] == 1 and rows_with[name] == 1 and (row := row_of.get(name)) is not None:
                rows[image] = row
                del unused[row]
                found += 1
        if words and found:
            how.append(f"{counted(found, 'image')} matched {words}")
        if not unused:
            break
    problems = [
        Problem("image predicted twice", f"{where[row]}: {named[row]!r} again, as in {where[earlier]}", _TWICE, (row,))
        for row, earlier in again.items()
    ]
    problems += [
        Problem(UNKNOWN_IMAGE, f"{where[row]}: the labels have no image {named[row]!r}", _UNKNOWN, (row,), fatal=False)
        for row in unused
    ]
    return Match(rows, tuple(how), tuple(problems))
