"""Features of images on disk, in a store like that of decoded images: each is computed once for all trainings that need it.

Notable decisions
- A store belongs to one backbone with its weights and preprocessing, and to one origin and size of the images. The key of a
  vector in it is the content of the image and the view of it (as it is, mirrored, or an augmented copy). So every fold, method
  and seed takes its rows from one store, and what is not there yet is added.
- As for images: one process adds, others wait for it; a kill at any moment leaves what has been computed; a vector that differs
  from its checksum is computed again.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.cache_limit import make_room
from balanced_mixup.data.pixel_file import OpenFile
from balanced_mixup.data.store_format import (
    HEADER,
    IndexEntry,
    header_for,
    locked,
    pixel_file,
    read_index,
    slot_bytes,
    store_folder,
)  # fmt: skip
from balanced_mixup.data.store_writer import StoreWriter

Vectors = npt.NDArray[np.float32]
Compute = Callable[[list[int]], Iterator[tuple[list[int], Vectors]]]


@dataclass(frozen=True)
class FeatureStore:
    """The features of one backbone for the images of one origin at one size."""

    folder: Path
    header: Mapping[str, Any]

    @classmethod
    def under(cls, cache_dir: Path, origin: str, size: int, made_by: Mapping[str, Any]) -> "FeatureStore":
        """Return the store in the cache folder; it need not exist yet.

        Args:
            cache_dir: Folder of all stores.
            origin: Where the images come from, as `Images.origin`.
            size: Their side in pixels.
            made_by: "backbone" by name, "length" of its feature vectors, and everything else that decides about them.
        """
        header = header_for(origin, size, made_by)
        return cls(store_folder(cache_dir, header), header)

    def read(self, keys: Sequence[str], compute: Compute) -> Vectors:
        """Return a feature vector for each key, float32 (N, F); those that are missing are computed and added.

        Args:
            keys: (N,), all different.
            compute: Function from positions among the keys to pieces of them with their vectors, in any order.

        Raises:
            RunError: Some are missing and the store cannot be written, or the disk has not enough space.
            UsageError: The limit of the cache is not a number of bytes.
        """
        vectors = np.empty((len(keys), self.header["features"]["length"]), np.float32)
        index = read_index(self.folder, dict(self.header))
        with suppress(OSError):  # the time of the last use, if the folder is writable
            os.utime(self.folder / HEADER)
        if not self._fill(vectors, keys, index):
            return vectors
        with locked(self.folder):
            index = read_index(self.folder, dict(self.header))
            missing = self._fill(vectors, keys, index)
            if not missing:  # another process has added them meanwhile
                return vectors
            for position in missing:
                index.pop(keys[position], None)
            make_room(self.folder, self.header["origin"], self.header["size"], len(missing) * slot_bytes(self.header))
            with StoreWriter(self.folder, dict(self.header), index, len(missing)) as writer:
                for positions, found in compute(missing):
                    vectors[positions] = found
                    for position, vector in zip(positions, found, strict=True):
                        slot, checksum = writer.add(vector)
                        writer.record(keys[position], IndexEntry("", "", 0, 0, writer.file, slot, checksum))
        return vectors

    def _fill(self, vectors: Vectors, keys: Sequence[str], index: Mapping[str, IndexEntry]) -> list[int]:
        """Read what is in the store, and return the positions of what is missing or damaged."""
        files: dict[str, OpenFile] = {}
        for name in {entry.file for entry in index.values()}:
            with suppress(FileNotFoundError):  # deleted since the index was read
                files[name] = OpenFile(pixel_file(self.folder, name))

        def read(position: int) -> bool:
            entry = index.get(keys[position])
            return (
                entry is not None
                and entry.file in files
                and files[entry.file].read(entry.slot, vectors[position], entry.checksum)
            )

        return [position for position in range(len(keys)) if not read(position)]
