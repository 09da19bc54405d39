"""What the cache folder holds: the stores of all trainings, as `bmixup cache` shows and clears them."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from balanced_mixup.data.store import Store, header_of, lock_of
from balanced_mixup.errors import RunError


@dataclass(frozen=True)
class CachedStore:
    """A store as `bmixup cache` shows it.

    Args:
        folder: Where it is.
        origin: Where its images come from.
        size: Side of the images in pixels.
        images: How many there are.
        disk_bytes: What it takes of the disk.
        last_used: Seconds since 1970.
    """

    folder: Path
    origin: str
    size: int
    images: int
    disk_bytes: int
    last_used: float

    def remove(self) -> None:
        """Delete the store. A training that uses it goes on undisturbed.

        Raises:
            RunError: Another process is adding images to it, or it cannot be deleted.
        """
        try:
            with lock_of(self.folder).acquire(timeout=0):
                for name in ("store.json", "index.jsonl", "pixels.bin"):
                    (self.folder / name).unlink(missing_ok=True)
                with suppress(OSError):  # it holds something that is not ours
                    self.folder.rmdir()
        except Timeout:
            raise RunError(f"{str(self.folder)!r} was kept: another process is adding images to it.") from None
        except OSError as error:
            raise RunError(f"{str(self.folder)!r} could not be deleted: {error}.") from error


def _is_header(header: Any) -> bool:
    if not isinstance(header, dict) or "format" not in header:
        return False
    origin, size = header.get("origin"), header.get("size")
    return isinstance(origin, str) and isinstance(size, int) and size > 0


def cached_stores(cache_dir: Path) -> list[CachedStore]:
    """Return the stores in a cache folder, of all versions, the last used first."""
    found = []
    for folder in cache_dir.iterdir() if cache_dir.is_dir() else ():
        header = header_of(folder)
        if not _is_header(header):
            continue
        sizes = [path.stat() for path in folder.iterdir()]
        images = len(Store(folder, header["origin"], header["size"]).index())
        used = (folder / "store.json").stat().st_mtime
        found.append(
            CachedStore(folder, header["origin"], header["size"], images, sum(size.st_blocks * 512 for size in sizes), used)
        )
    return sorted(found, key=lambda holding: -holding.last_used)
