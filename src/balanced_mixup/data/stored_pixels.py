"""The pixels of a data set in the files of a store, verified as they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.pixel_file import OpenFile
from balanced_mixup.data.pixels import Rows, SourcePixels

if TYPE_CHECKING:
    from torch import Tensor

PLACE = np.dtype([("file", np.int32), ("slot", np.int64), ("checksum", np.uint32), ("verified", np.bool_)])


class StoredPixels:
    """Pixels in the files of a store.

    All processes share them through the page cache. Each image is read by one call at its offset. A memory mapping is no
    faster for cached pages and far slower for others (each page fault reads ahead); it cannot always exceed the memory, and a
    truncated file kills the process instead of raising an error.

    An image is compared with its checksum when this process reads it for the first time. One that is not what was stored is
    decoded from its source at each use.
    """

    def __init__(
        self, files: Sequence[OpenFile], places: npt.NDArray[np.void], source: SourcePixels, report: Callable[[list[str]], None]
    ) -> None:
        """Read N images.

        Args:
            files: The files that they are in.
            places: `PLACE` (N,): the position in `files`, the slot in that file and the checksum of each image; a negative
                position for one that is not stored.
            source: The same images where they were decoded from.
            report: Called once with the name of each image that is found to be damaged.
        """
        self._files, self._places, self._source, self._report = files, places, source, report
        self._rows = np.arange(len(places))
        self._damaged: set[int] = set()
        self.shape = source.shape

    def gather(self, rows: Rows) -> Tensor:
        """Return uint8 (len(rows), H, W, 3).

        Raises:
            DataError: An image is damaged in the store, and missing, damaged or changed at its source.
        """
        read, out = self._rows[rows], np.empty((len(rows), *self.shape[1:]), np.uint8)
        places = self._places[read]
        good = np.fromiter(map(self._read, out, places.tolist()), np.bool_, len(rows))
        if not places["verified"].all():
            self._places["verified"][read[good]] = True
        if not good.all():
            out[~good] = self._source.gather(read[~good]).numpy()
            damaged = set(read[~good].tolist()) - self._damaged
            self._damaged |= damaged
            if damaged:
                self._report([self._source.images.names[row] for row in sorted(damaged)])
        import torch

        return torch.from_numpy(out)

    def _read(self, image: npt.NDArray[np.uint8], place: tuple[int, int, int, bool]) -> bool:
        file, slot, checksum, verified = place
        return file >= 0 and self._files[file].read(slot, image, None if verified else checksum)

    def subset(self, rows: Rows) -> StoredPixels:
        """Return a view of some images."""
        some = copy(self)
        some._rows = self._rows[rows]
        some.shape = (len(rows), *self.shape[1:])
        return some
