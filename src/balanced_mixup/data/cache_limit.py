"""The bound on the size of the cache folder: stores that nobody uses are deleted, the least recently used first.

It does not bind what is in use: a store that is being built or read may exceed it.
"""

import logging
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from balanced_mixup.data.cached_stores import CachedStore, cached_stores
from balanced_mixup.data.store_format import FORMAT
from balanced_mixup.errors import RunError, UsageError, human_bytes

log = logging.getLogger("balanced_mixup")

VARIABLE = "BMIXUP_CACHE_LIMIT"


def parse_bytes(text: str, setting: str) -> int:
    """Return the number of bytes that a text such as "20GB" or "1.5 GiB" says. UsageError that names the setting."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"Expected {setting} to be a size such as 20GB or 500MiB, but got {text!r}.")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** (" kmgt".index(unit.lower()) if unit else 0))


def cache_limit(cache_dir: Path, stores: Sequence[CachedStore]) -> int:
    """Return how many bytes the stores in a folder may take: $BMIXUP_CACHE_LIMIT, or half of what they take and is free."""
    if stated := os.environ.get(VARIABLE):
        return parse_bytes(stated, f"the environment variable {VARIABLE}")
    return (_free(cache_dir) + sum(store.disk_bytes for store in stores)) // 2


def _free(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def make_room(folder: Path, origin: str, size: int, need: int) -> None:
    """Delete stores that nobody uses, so that `need` bytes can be added to the store in `folder`, with this origin and size.

    One that an earlier version made of the same images is deleted, too.

    Raises:
        UsageError: The limit is not a number of bytes.
    """
    stores = cached_stores(folder.parent, count=False)
    limit, total = cache_limit(folder.parent, stores), sum(store.disk_bytes for store in stores)
    others = [store for store in stores if store.folder != folder]
    for store in others:
        if (store.origin, store.size) == (origin, size) and store.format < FORMAT:
            with suppress(RunError):  # that version is adding images to it
                store.remove()
                log.info("%s is of an earlier version and may hold wrong pixels: its images are decoded again.", store.folder)
                total -= store.disk_bytes
    excess = max(total + need - limit, need - _free(folder.parent))
    for store in delete_unused([store for store in others if store.folder.exists()], excess):
        log.info(
            "Deleted the %s of %s at %d px (%s), the least recently used ones, as the cache is full.",
            store.contents,
            store.origin,
            store.size,
            human_bytes(store.disk_bytes),
        )


def delete_unused(stores: Sequence[CachedStore], excess: int) -> list[CachedStore]:
    """Delete stores that nobody uses, the least recently used first, until `excess` bytes are free; return the deleted ones."""
    deleted: list[CachedStore] = []
    for store in sorted(stores, key=lambda store: store.last_used):
        if sum(gone.disk_bytes for gone in deleted) >= excess:
            break
        if not store.in_use:
            with suppress(RunError):  # images are being added to it
                store.remove()
                deleted.append(store)
    return deleted
