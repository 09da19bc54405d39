"""The files of a store of decoded images, and how they are read.

    store.json          the header: format, versions of the decoders, origin and size; a store with any other header is not used
    index.jsonl         [key, fingerprint, digest, height, width, file, slot, checksum] a line; the last line of a key counts
    pixels-FILE.bin     uint8 (slots, size, size, 3), raw
    copies-KEY.json     which of some images are copies of each other; KEY is a hash of these images

A pixel file is written by one process that adds images, and by its workers, and by no other ever again; its name is random. An
index is written by one such process, too: it begins with all that is known, and takes the place of the former one. So whatever
a process writes that lives longer than its lock goes to where nobody reads it.

The lock file beside the folder is locked by the process that adds images. It is never deleted: waiting processes have it open.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import PIL
import simplejpeg
from filelock import FileLock

from balanced_mixup.errors import RunError

INDEX, HEADER, DAMAGED = "index.jsonl", "store.json", "damaged"
CHANNELS = 3
FORMAT = 2


class IndexEntry(NamedTuple):
    """An image in a store; the fingerprint is that of its stamp, "" if the image may still change without notice."""

    fingerprint: str
    digest: str
    height: int
    width: int
    file: str
    slot: int
    checksum: int


def header_for(origin: str, size: int) -> dict[str, Any]:
    """Return the header of a store; other versions of the decoders may decode to other pixels."""
    return {"format": FORMAT, "pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__, "origin": origin, "size": size}


def read_header(folder: Path) -> Any:
    """Return the content of the header file in `folder`; None if it is missing or damaged."""
    try:
        return json.loads((folder / HEADER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def pixel_file(folder: Path, file: str) -> Path:
    """Return the path of the pixel file with this name in the index."""
    return folder / f"pixels-{file}.bin"


def copies_file(folder: Path, key: str) -> Path:
    """Return the path of the copies among the images with this key."""
    return folder / f"copies-{key}.json"


def pixel_files(folder: Path) -> set[Path]:
    """Return all pixel files of a store of any version."""
    return {*folder.glob("pixels*.bin")}


def read_index(folder: Path, header: dict[str, Any]) -> dict[str, IndexEntry]:
    """Return the images by key whose pixels exist; none if there is no store or if its header differs."""
    if read_header(folder) != header:
        return {}
    try:
        lines = (folder / INDEX).read_bytes().splitlines()
    except OSError:
        return {}
    slots: dict[str, int] = {}  # of each file
    entries = {}
    for line in lines:
        with suppress(ValueError, TypeError):  # a line truncated by a kill
            key, *values = json.loads(line)
            entry = IndexEntry(*values)
            entry = entry._replace(file=sys.intern(entry.file))  # one string in memory, not one an image
            if entry.file not in slots:
                path = pixel_file(folder, entry.file)
                slots[entry.file] = path.stat().st_size // (header["size"] ** 2 * CHANNELS) if path.is_file() else 0
            entries[key] = entry
            if not (0 <= entry.slot < slots[entry.file] and 0 <= entry.checksum < 2**32):
                del entries[key]
    return entries


def begin_store(folder: Path, header: Mapping[str, Any]) -> None:
    """Make an empty store in `folder`, unless there is one with this header."""
    folder.mkdir(exist_ok=True)
    if read_header(folder) != header:
        delete_store(folder)
        (folder / HEADER).write_text(json.dumps(header), encoding="utf-8")


def delete_store(folder: Path) -> None:
    """Delete the files of a store; others in its folder stay."""
    copies = folder.glob(copies_file(folder, "*").name)
    for path in (folder / HEADER, folder / INDEX, folder / DAMAGED, *copies, *_unfinished(folder), *pixel_files(folder)):
        path.unlink(missing_ok=True)


def tidy(folder: Path, header: Mapping[str, Any], entries: Mapping[str, IndexEntry]) -> None:
    """Delete what killed processes have left: pixels that no entry names, and the space that they had reserved."""
    used: dict[Path, int] = {}
    for entry in entries.values():
        path = pixel_file(folder, entry.file)
        used[path] = max(used.get(path, 0), (entry.slot + 1) * header["size"] ** 2 * CHANNELS)
    for path in pixel_files(folder):
        if path not in used:
            path.unlink()
        elif path.stat().st_size > used[path]:
            os.truncate(path, used[path])
    for path in _unfinished(folder):
        path.unlink()


def _unfinished(folder: Path) -> list[Path]:
    return [*folder.glob(f"{INDEX}.*")]


def replace_index(folder: Path, entries: Mapping[str, IndexEntry]) -> BinaryIO:
    """Put a new index in the place of the present one, and return it, open, for more lines."""
    temporary = folder / f"{INDEX}.{secrets.token_hex(8)}"
    index = temporary.open("ab")
    index.write("".join(index_line(key, entry) for key, entry in entries.items()).encode())
    index.flush()
    os.fsync(index.fileno())
    temporary.replace(folder / INDEX)
    return index


def index_line(key: str, entry: IndexEntry) -> str:
    """Return the line of an image in the index."""
    return json.dumps([key, *entry]) + "\n"


def lock_of(folder: Path) -> FileLock:
    """Return the lock of the store in `folder`."""
    return FileLock(folder.with_name(f"{folder.name}.lock"))


@contextmanager
def explain_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError with the files of a store into a RunError with remedies."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The store of decoded images in {str(folder)!r} cannot be written: {error}. Choose another folder with "
            "`--cache-dir`, or `--cache ram` or `none` to write nothing."
        ) from error
