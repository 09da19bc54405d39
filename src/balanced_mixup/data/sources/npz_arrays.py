"""The arrays of an npz: their types and sizes are read from its headers, before anything is unpacked."""

import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from balanced_mixup.errors import DataError, human_bytes

Arrays = Mapping[str, npt.NDArray[Any]]

_MOST_UNPACKED = 200  # times the size in the file, of an array that is ...
_LARGE = 2**24  # ... larger than this

_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Header(NamedTuple):
    """What the header of an array says; `packed` is its size in the file in bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    packed: int

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in memory in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpzFile:
    """An npz that is open for reading; every failure is a DataError. Nothing is unpickled: it could run code."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`."""
        self._path = path
        try:
            self._file = zipfile.ZipFile(path)
        except Exception as error:  # zipfile has several errors for a damaged file, and OSError for others
            raise self._unreadable(error) from error
        self._members = {info.filename.removesuffix(".npy"): info for info in self._file.infolist()}

    def __enter__(self) -> "NpzFile":
        """Return the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The names of the arrays."""
        return list(self._members)

    def headers(self, wanted: Iterable[str]) -> dict[str, Header]:
        """Return the headers of those of the `wanted` arrays that exist. DataError if one is damaged or no array."""
        return {name: self._header(self._members[name]) for name in wanted if name in self._members}

    def _header(self, member: zipfile.ZipInfo) -> Header:
        try:
            with self._file.open(member) as stream:
                shape, dtype = _read_header(stream)
                content = member.file_size - stream.tell()
        except Exception as error:
            raise self._unreadable(error, member.filename) from error
        header = Header(shape, dtype, member.compress_size)
        if not dtype.hasobject and content != header.nbytes:
            wrong = ValueError(f"its header says {header.nbytes:,} bytes, but it has {content:,}")
            raise self._unreadable(wrong, member.filename)
        return header

    def read(self, headers: Mapping[str, Header], copies: int = 1) -> Arrays:
        """Return the arrays of these headers.

        Args:
            headers: As `headers` returned them.
            copies: How often their content will be in memory.

        Raises:
            DataError: One is damaged, or there is not enough memory.
        """
        need, free = copies * sum(header.nbytes for header in headers.values()), psutil.virtual_memory().available
        if need > free:
            message = f"{self._path.name}: its arrays need {human_bytes(need)}, but {human_bytes(free)} of memory are free"
            raise DataError.of("too large for the memory", message, "Provide the images as files (a table or a folder).")
        for name, header in headers.items():
            if header.nbytes > max(_LARGE, _MOST_UNPACKED * header.packed):
                message = f"{self._path.name}: {name} unpacks from {human_bytes(header.packed)} to {human_bytes(header.nbytes)}"
                remedy = "If the images are real, write the file again with `numpy.savez`, which does not compress."
                raise DataError.of("suspicious compression", message, remedy)
        arrays = {}
        for name in headers:
            member = self._members[name]
            try:
                with self._file.open(member) as stream:
                    arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
            except Exception as error:  # numpy, zipfile and zlib each have their own errors for a damaged file
                raise self._unreadable(error, member.filename) from error
        return arrays

    def _unreadable(self, error: Exception, member: str = "") -> DataError:
        part = f" {member}" if member else ""
        message = f"{self._path.name}:{part} cannot be read as npz ({error or type(error).__name__})"
        return DataError.of("unreadable npz", message, "Download or write the file again; it must not contain Python objects.")


def _read_header(stream: BinaryIO | Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an array at its beginning. ValueError if it is none."""
    version = np.lib.format.read_magic(stream)
    if version not in _READ_HEADER:
        raise ValueError(f"an array of the format {version}")
    shape, _, dtype = _READ_HEADER[version](stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"an array of the shape {shape}")
    return shape, dtype
