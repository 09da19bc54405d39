"""From a manifest to pixels that can be trained on or scored: open and check every image, then split."""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from balanced_mixup.data.cached_stores import default_cache_dir
from balanced_mixup.data.copies import Copies, find_copies, kept_copies, looks_of
from balanced_mixup.data.inspection import FindCopies, Inspection, check_table, exclude, inspect
from balanced_mixup.data.manifest import Manifest, Scan
from balanced_mixup.data.pixels import ArrayPixels, Pixels, SourcePixels
from balanced_mixup.data.settings import SPLIT_VERSION, CacheKind
from balanced_mixup.data.store import Store
from balanced_mixup.errors import DataError, RunError, describe, human_bytes

log = logging.getLogger("balanced_mixup")


@dataclass(frozen=True)
class Cache:
    """Where decoded images are cached.

    Args:
        kind: "disk": decoded once for all trainings, in a store on disk. "device": the same, to be copied to the GPU.
            "ram": in the memory of this process. "none": decoded at every use. Images that are not in files are kept in
            memory by "disk" and "device" too.
        directory: Folder of the stores; the user's cache folder if not given.
    """

    kind: CacheKind = "ram"
    directory: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """A data set that is ready for use.

    Args:
        pixels: N images of (size, size).
        manifest: N images, each with a label, with a split if one was given or requested.
        digests: (N,), a hash of the content of each image.
        copies: Which of them are copies of each other.
        excluded: Names of the excluded images, each with its problems (only with `exclude_bad`).
    """

    pixels: Pixels
    manifest: Manifest
    digests: tuple[str, ...]
    copies: Copies
    excluded: tuple[tuple[str, str], ...] = ()

    def subset(self, rows: npt.NDArray[np.int64]) -> "Prepared":
        """Return some of the images."""
        digests = tuple(self.digests[row] for row in rows)
        return Prepared(self.pixels.subset(rows), self.manifest.subset(rows), digests, self.copies.subset(rows))


def prepare(
    manifest: Manifest,
    size: int,
    *,
    cache: Cache = Cache(),
    exclude_bad: bool = False,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
    split_version: int = SPLIT_VERSION,
    near_copies: bool = True,
) -> Prepared:
    """Check a data set and decode its images, each once, or not at all if the store has it.

    Args:
        manifest: As its source gave it.
        size: Side in pixels of the square that each image is resized to.
        cache: Where the decoded images are cached.
        exclude_bad: Exclude rows with a problem instead of stopping.
        val_fraction, test_fraction, seed, split_version, near_copies: As for `inspect`.

    Raises:
        DataError: The table has fatal problems, and then no image is opened; or the images have. Lists all of them.
        RunError: There is not enough space for the decoded images.
    """
    if not exclude_bad:
        check_table(manifest)
    pixels, inspection = read(
        manifest,
        size,
        cache,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
        split_version=split_version,
        near_copies=near_copies,
    )
    excluded: tuple[tuple[str, str], ...] = ()
    if exclude_bad and inspection.excludable:
        reasons = defaultdict(list)
        for problem in inspection.excludable:
            for row in problem.rows:
                reasons[row].append(f"{problem.kind}: {problem.message}")
        inspection, rows = exclude(inspection)
        excluded = tuple((manifest.images.names[row], "; ".join(reasons[row])) for row in rows.tolist())
        pixels = pixels.subset(np.setdiff1d(np.arange(len(manifest)), rows))
        log.warning("Excluded %d of %d images that have a problem.", len(rows), len(manifest))
    if inspection.fatal:
        raise DataError(inspection.fatal)
    if inspection.warnings:
        log.warning("%s", describe(inspection.warnings, examples=5))
    return Prepared(pixels, inspection.planned, inspection.digests, inspection.copies, excluded)


def read(
    manifest: Manifest,
    size: int,
    cache: Cache = Cache(),
    *,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
    split_version: int = SPLIT_VERSION,
    near_copies: bool = True,
) -> tuple[Pixels, Inspection]:
    """Open every image once and cache its pixels according to `cache`.

    Args:
        manifest: N images.
        size: Side in pixels of the square that each image is resized to.
        cache: Where the decoded images are kept.
        val_fraction, test_fraction, seed, split_version, near_copies: As for `inspect`.

    Returns:
        The pixels of N images, and the inspection; those of an unreadable image are undefined or raise a DataError.
    """

    def scan_with(scan: Callable[[int], Scan], copies: FindCopies | None = None) -> Inspection:
        return inspect(
            manifest,
            val_fraction,
            test_fraction,
            seed=seed,
            split_version=split_version,
            scan=scan,
            near_copies=near_copies,
            copies=copies,
        )

    images = manifest.images
    if cache.kind == "none":
        inspection = scan_with(lambda row: images.scan(row, size))
        return SourcePixels(images, size, inspection.digests), inspection
    if cache.kind == "ram" or images.origin is None:
        pixels = _allocate((len(manifest), size, size, 3))

        def keep(row: int) -> Scan:
            scan = images.scan(row, size)
            pixels[row] = scan.pixels
            return scan

        return ArrayPixels(pixels), scan_with(keep)
    store = Store.under(cache.directory or default_cache_dir(), images.origin, size)
    with store.opened_for(images) as stored:

        def copies(shapes: npt.NDArray[np.int64], digests: tuple[str, ...]) -> Copies:
            return kept_copies(store.folder, digests, lambda: find_copies(looks_of(stored.pixels(), shapes)))

        inspection = scan_with(stored.scan, copies)
    return stored.pixels(), inspection


def read_in_blocks(
    manifest: Manifest, size: int, block: int, use: Callable[[Pixels, npt.NDArray[np.int64]], None]
) -> Inspection:
    """Open every image once, and keep the pixels of `block` images at a time.

    Args:
        manifest: N images, whose files alone are compared with each other.
        size: Side in pixels of the square that each image is resized to.
        block: How many images are in memory together.
        use: Called with the pixels of the images of a block that can be read, which change afterwards, and with their rows.

    Returns:
        The inspection of all N images.
    """
    images, readable = manifest.images, np.zeros(len(manifest), bool)
    pixels = _allocate((min(block, len(manifest)), size, size, 3))

    def keep(row: int) -> Scan:
        scan = images.scan(row, size)
        pixels[row % block], readable[row] = scan.pixels, True
        return scan

    def after_block(rows: npt.NDArray[np.int64]) -> None:
        if len(rows := rows[readable[rows]]):
            use(ArrayPixels(pixels, rows % block), rows)

    return inspect(manifest, None, scan=keep, near_copies=False, block=block, after_block=after_block)


def _allocate(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    need, free = int(np.prod(shape)), psutil.virtual_memory().available
    if need > free:
        raise RunError(
            f"The decoded images need {human_bytes(need)}, but {human_bytes(free)} of memory are free. Keep them on disk "
            "(`--cache disk`) or decode them at every use (`--cache none`), choose a smaller `--size`, or use fewer images at "
            "a time."
        )
    return np.empty(shape, np.uint8)
