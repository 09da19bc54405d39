"""The files of a store of decoded images or of features, and how they are read.

    store.json          the header: format, versions of the decoders, origin and size; a store with any other header is not used
    index.jsonl         [key, fingerprint, digest, height, width, file, slot, checksum] a line; the last line of a key counts
    pixels-FILE.bin     uint8 (slots, size, size, 3), raw; of features float32 (slots, F)
    copies-KEY.json     which of some images are copies of each other; KEY is a hash of these images

A pixel file is written by one process that adds images, and by its workers, and by no other ever again; its name is random. An
index is written by one such process, too: it begins with all that is known, and takes the place of the former one. So whatever
a process writes that lives longer than its lock goes to where nobody reads it.

In a store of features the header also says what made them (`features`), a key is that of an image's content and of a view of
it, and fingerprint, digest, height and width are empty.

The lock file beside the folder is locked by the process that adds images. It is never deleted: waiting processes have it open.
"""

import hashlib
import json
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import PIL
import simplejpeg
from filelock import FileLock, Timeout

from balanced_mixup.errors import RunError

log = logging.getLogger("balanced_mixup")

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


_FEATURE_BYTES = 4
_MOST_FEATURES = 2**20  # of an image; more in a header is damage


def header_for(origin: str, size: int, features: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the header of a store; other versions of the decoders may decode to other pixels.

    Args:
        origin: Where the images come from.
        size: Their side in pixels.
        features: What makes the features that are stored in place of pixels: "backbone", "length" F, and whatever else they
            depend on.
    """
    header = {"format": FORMAT, "pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__, "origin": origin, "size": size}
    return header if features is None else {**header, "features": dict(features)}


def slot_bytes(header: Mapping[str, Any]) -> int:
    """Return how many bytes an image, or its features, take in the files of a store."""
    if "features" in header:
        return int(header["features"]["length"]) * _FEATURE_BYTES
    return int(header["size"]) ** 2 * CHANNELS


def contents_of(header: Mapping[str, Any]) -> str:
    """Return what a store holds, in words."""
    match header:
        case {"features": {"backbone": str(backbone)}}:
            return f"features of {backbone}"
    return "decoded images"


def store_folder(cache_dir: Path, header: Mapping[str, Any]) -> Path:
    """Return the folder of the store with this header under the cache folder; another header is another folder."""
    identity = hashlib.blake2b(repr(tuple(header.values())).encode(), digest_size=4).hexdigest()
    name = re.sub(r"[^\w.-]+", "_", Path(header["origin"]).name)[:40].lstrip(".") or "images"
    return cache_dir / f"{name}-{header['size']}px{'-features' if 'features' in header else ''}-{identity}"


def read_header(folder: Path) -> Any:
    """Return the content of the header file in `folder`; None if it is missing or damaged."""
    try:
        return json.loads((folder / HEADER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def usable_header(folder: Path) -> dict[str, Any] | None:
    """Return the header in `folder`, None if it is damaged or of other versions, whose content is not used."""
    match read_header(folder):
        case {"origin": str(origin), "size": int(size), "features": {"backbone": str(), "length": int(length)} as features}:
            expected = header_for(origin, size, features) if 0 < length <= _MOST_FEATURES else None
        case {"origin": str(origin), "size": int(size)}:
            expected = header_for(origin, size)
        case _:
            return None
    return expected if read_header(folder) == expected else None


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
                slots[entry.file] = path.stat().st_size // slot_bytes(header) if path.is_file() else 0
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
        used[path] = max(used.get(path, 0), (entry.slot + 1) * slot_bytes(header))
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
def locked(folder: Path) -> Iterator[None]:
    """Lock the store in `folder` for the process that adds to it; waits for another one. RunError if it cannot be written."""
    lock = lock_of(folder)
    with explain_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("Another process is adding images to %s; waiting until it is done.", folder)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def explain_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError with the files of a store into a RunError with remedies."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The store in {str(folder)!r} cannot be written: {error}. Choose another folder with "
            "`--cache-dir`, or `--cache ram` or `none` to write nothing."
        ) from error
