"""The pixels of a data set, in memory, in a file, on the GPU or still to be decoded: a step reads its rows in one gather."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import Images
from balanced_mixup.errors import DataError, Problem

# Torch is imported where it makes tensors: opening and listing stores does without.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

Rows = npt.NDArray[np.int64]


class Pixels(Protocol):
    """The pixels of N images of one size; `shape` is (N, H, W, 3)."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)."""
        ...

    def gather(self, rows: Rows) -> Tensor:
        """Return a copy of some images, uint8 (len(rows), H, W, 3)."""
        ...

    def subset(self, rows: Rows) -> Pixels:
        """Return a view of some images, in the order of `rows`."""
        ...


class ArrayPixels:
    """Pixels in memory."""

    def __init__(self, array: npt.NDArray[np.uint8], rows: Rows | None = None) -> None:
        """Take uint8 (M, H, W, 3) without a copy, or the `rows` (N,) of it."""
        self._array = array
        self._rows = np.arange(len(array)) if rows is None else rows
        _, height, width, channels = array.shape
        self.shape = (len(self._rows), height, width, channels)

    def gather(self, rows: Rows) -> Tensor:
        """Return a copy of some images, uint8 (len(rows), H, W, 3)."""
        import torch

        return torch.from_numpy(self._array[self._rows[rows]])

    def subset(self, rows: Rows) -> ArrayPixels:
        """Return a view of some images."""
        return ArrayPixels(self._array, self._rows[rows])


class DevicePixels:
    """Pixels in the memory of a GPU."""

    def __init__(self, pixels: Tensor) -> None:
        """Take uint8 (N, H, W, 3), on the device."""
        n, height, width, channels = pixels.shape
        self._pixels, self.shape = pixels, (n, height, width, channels)

    @classmethod
    def copy_of(cls, pixels: Pixels, device: torch.device) -> DevicePixels:
        """Copy `pixels` to `device`, in chunks."""
        n, height, width, _ = pixels.shape
        import torch

        out = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
        step = max(1, 2**28 // (height * width * 3))
        for start in range(0, n, step):
            rows = np.arange(start, min(start + step, n))
            out[start : start + len(rows)] = pixels.gather(rows).to(device)
        return cls(out)

    def gather(self, rows: Rows) -> Tensor:
        """Return uint8 (len(rows), H, W, 3) on the device."""
        import torch

        return self._pixels[torch.from_numpy(rows).to(self._pixels.device)]

    def subset(self, rows: Rows) -> DevicePixels:
        """Return a copy of some images on the device."""
        return DevicePixels(self.gather(rows))


class SourcePixels:
    """Pixels that are decoded from their source at each gather, by one thread per core."""

    def __init__(self, images: Images, size: int, digests: tuple[str, ...]) -> None:
        """Take N images, resized to (size, size); `digests` (N,) are theirs from when the data were checked."""
        self.images, self._size, self._digests = images, size, digests
        self.shape = (len(digests), size, size, 3)

    def gather(self, rows: Rows) -> Tensor:
        """Return uint8 (len(rows), size, size, 3).

        Raises:
            DataError: An image is missing, damaged or has changed since the data were checked.
        """
        # A new pool for each gather costs 0.1 ms and leaves no threads behind.
        gathered = np.empty((len(rows), *self.shape[1:]), np.uint8)
        with ThreadPoolExecutor() as threads:
            for place, pixels in enumerate(threads.map(self._decode, rows.tolist())):
                gathered[place] = pixels
        import torch

        return torch.from_numpy(gathered)

    def _decode(self, row: int) -> npt.NDArray[np.uint8]:
        scan = self.images.scan(row, self._size)
        if scan.digest != self._digests[row]:
            message = f"{self.images.names[row]}: its content has changed since the data were checked"
            raise DataError([Problem("changed image", message, "Do not change images while a training uses them.")])
        return scan.pixels

    def subset(self, rows: Rows) -> SourcePixels:
        """Return a view of some images."""
        return SourcePixels(self.images.subset(rows), self._size, tuple(self._digests[row] for row in rows))


def as_pixels(pixels: Pixels | npt.NDArray[np.uint8]) -> Pixels:
    """Return an array (N, H, W, 3) as `Pixels`, and `Pixels` as they are."""
    return ArrayPixels(pixels) if isinstance(pixels, np.ndarray) else pixels
