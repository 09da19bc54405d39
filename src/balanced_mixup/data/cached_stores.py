"""The stores in the cache folder, as `bmixup cache` lists and deletes them."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from balanced_mixup.data.store_format import HEADER, INDEX, PIXELS, header_for, lock_of, read_header, read_index
from balanced_mixup.errors import RunError


@dataclass(frozen=True)
class CachedStore:
    """A store of decoded images."""

    folder: Path
    origin: str  # the folder or file that its images come from
    size: int  # side of the images in pixels
    images: int  # number of usable images
    disk_bytes: int
    last_used: float  # seconds since 1970

    def remove(self) -> None:
        """Delete the store. A training that uses it continues undisturbed.

        Raises:
            RunError: Another process is adding images to it, or it cannot be deleted.
        """
        try:
            with lock_of(self.folder).acquire(timeout=0):
                for name in (HEADER, INDEX, PIXELS):
                    (self.folder / name).unlink(missing_ok=True)
                with suppress(OSError):  # it contains other files
                    self.folder.rmdir()
        except Timeout:
            raise RunError(f"{str(self.folder)!r} was kept: another process is adding images to it.") from None
        except OSError as error:
            raise RunError(f"{str(self.folder)!r} could not be deleted: {error}.") from error


def cached_stores(cache_dir: Path) -> list[CachedStore]:
    """Return the stores in a cache folder, of all versions, the most recently used first."""
    found = []
    for folder in cache_dir.iterdir() if cache_dir.is_dir() else ():
        header = read_header(folder)
        if not isinstance(header, dict) or "format" not in header:
            continue
        origin, size = header.get("origin"), header.get("size")
        if isinstance(origin, str) and isinstance(size, int) and size > 0:
            images = len(read_index(folder, header_for(origin, size)))
            disk_bytes = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
            found.append(CachedStore(folder, origin, size, images, disk_bytes, (folder / HEADER).stat().st_mtime))
    return sorted(found, key=lambda store: -store.last_used)
