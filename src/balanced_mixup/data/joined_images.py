"""The images of several sources, one after the other."""

import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.manifest import Images, Scan, Stamp
from balanced_mixup.errors import Problem


class JoinedImages(Images):
    """Images of several sources as one sequence.

    Sources of different folders have the folder that contains them as origin, and names and keys that start from there.
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        """Join `parts`, N images together, without reading any."""
        origins = [part.origin for part in parts]
        self.origin, prefixes = origins[0], [""] * len(parts)
        if len(set(origins)) > 1:
            known = [origin for origin in origins if origin is not None]
            common = _common_folder(known)
            self.origin = common if len(known) == len(parts) else None
            prefixes = ["" if origin is None else _path_from(common, origin) for origin in origins]
        self.names = [prefix + name for part, prefix in zip(parts, prefixes, strict=True) for name in part.names]
        self._parts: tuple[Images, ...] = tuple(parts)
        self._prefixes = tuple(prefixes)
        self._part = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        self._row = np.concatenate([np.arange(len(part)) for part in parts])

    def decoded_by(self, decoding: Decoding) -> Self:
        """Return the same images, decoded in another way."""
        other = copy(self)
        other._parts = tuple(part.decoded_by(decoding) for part in self._parts)
        return other

    def remarks(self) -> tuple[Problem, ...]:
        """Return the warnings of all sources."""
        return tuple(remark for part in self._parts for remark in part.remarks())

    def scan(self, index: int, size: int | None = None) -> Scan:
        """Return pixels, original size and digest of image `index`. DataError if it cannot be read."""
        part, row = self._place(index)
        return part.scan(row, size)

    def digest(self, index: int) -> str:
        """Return the digest of image `index` in its source."""
        part, row = self._place(index)
        return part.digest(row)

    def key(self, index: int) -> str:
        """Return the path of image `index` from the folder that contains all sources."""
        part, row = self._place(index)
        key = part.key(row)
        return key and self._prefixes[self._part[index]] + key

    def stamp(self, index: int) -> Stamp | None:
        """Return the stamp of image `index` in its source."""
        part, row = self._place(index)
        return part.stamp(row)

    def _place(self, index: int) -> tuple[Images, int]:
        """Return the source of image `index` and its position there."""
        return self._parts[self._part[index]], int(self._row[index])

    def subset(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return some of the images, in any order."""
        rows = np.asarray(rows, np.int64)
        some = object.__new__(type(self))
        some.names, some.origin, some._prefixes = [self.names[row] for row in rows.tolist()], self.origin, self._prefixes
        some._part, own = self._part[rows], self._row[rows]
        some._row = np.zeros(len(rows), np.int64)
        parts = []
        for k, part in enumerate(self._parts):
            mine = some._part == k
            parts.append(part.subset(own[mine]))
            some._row[mine] = np.arange(mine.sum())
        some._parts = tuple(parts)
        return some


def _common_folder(origins: Sequence[str]) -> str:
    try:
        return os.path.commonpath([*origins, *(str(Path(origin).parent) for origin in origins if not Path(origin).is_dir())])
    except ValueError:  # on different drives, or no origin
        return ""


def _path_from(folder: str, origin: str) -> str:
    path = Path(origin).relative_to(folder).as_posix() if folder else Path(origin).as_posix()
    return "" if path == "." else f"{path}/"
