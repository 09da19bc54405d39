"""From a manifest to pixels that can be trained on or scored: look at every image, judge, split."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from balanced_mixup.data.inspection import Inspection, exclude, inspect
from balanced_mixup.data.manifest import Manifest, Scan
from balanced_mixup.data.pixels import ArrayPixels, Pixels, SourcePixels
from balanced_mixup.data.settings import CacheKind
from balanced_mixup.data.store import Store, default_cache_dir
from balanced_mixup.errors import DataError, Problem, RunError, describe, human_bytes
from balanced_mixup.progress import progress_bar

log = logging.getLogger("balanced_mixup")


@dataclass(frozen=True)
class Cache:
    """Where decoded images are kept.

    Args:
        kind: "disk": decoded once, for all trainings, in a store on the disk. "device": the same, for copying to the GPU.
            "ram": in the memory of this process; nothing is written. "none": nowhere, they are decoded whenever they are
            used. Images that are not in files are kept in memory by "disk" and "device" too.
        directory: Folder of the stores; the user's cache folder if not given.
    """

    kind: CacheKind = "ram"
    directory: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """A data set that is fit for use.

    Args:
        pixels: N images of (size, size).
        manifest: N images, each with a label, with a split if one was given or asked for.
        digests: (N,), a hash of each image's content.
        excluded: Names of the images that were left out, each with what is wrong with it (with `exclude_bad` alone).
    """

    pixels: Pixels
    manifest: Manifest
    digests: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...] = ()


def prepare(
    manifest: Manifest,
    size: int,
    *,
    cache: Cache = Cache(),
    exclude_bad: bool = False,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> Prepared:
    """Look at a data set, each image once, or not at all where the store has it.

    Args:
        manifest: As its source gave it.
        size: Side in pixels of the square that each image is resized to.
        cache: Where the decoded images are kept.
        exclude_bad: Leave out rows with a problem instead of stopping.
        val_fraction: Share for validation where the data give none; None where the data are not for training.
        test_fraction: Share for the test where the data give no split.
        seed: Of the split.

    Raises:
        DataError: Something is wrong with the data; lists all of it.
        RunError: There is no room for the decoded images.
    """
    pixels, inspection = read(manifest, size, cache, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
    excluded: tuple[tuple[str, str], ...] = ()
    if exclude_bad and inspection.excludable:
        reasons = _reasons(inspection.excludable)
        inspection, left_out = exclude(inspection)
        excluded = tuple((manifest.images.names[row], "; ".join(reasons[row])) for row in left_out.tolist())
        pixels = pixels.subset(np.setdiff1d(np.arange(len(manifest)), left_out))
        log.warning("Left out %d of %d images that have a problem.", len(left_out), len(manifest))
    if inspection.fatal:
        raise DataError(inspection.fatal)
    if inspection.warnings:
        log.warning("%s", describe(inspection.warnings, examples=5))
    return Prepared(pixels, inspection.planned, inspection.digests, excluded)


def read(
    manifest: Manifest,
    size: int,
    cache: Cache = Cache(),
    *,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> tuple[Pixels, Inspection]:
    """Open every image once, with a progress bar, and keep its pixels as `cache` says.

    Args:
        manifest: N images.
        size: Side in pixels of the square that each image is resized to.
        cache: Where the decoded images are kept.
        val_fraction, test_fraction, seed: As for `inspect`.

    Returns:
        The pixels of N images, undefined where an image could not be read, and what was found.
    """

    def look(scan: Callable[[int], Scan]) -> Inspection:
        return scan_dataset(manifest, scan, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)

    images = manifest.images
    if cache.kind == "none":
        inspection = look(lambda row: images.scan(row, size))
        return SourcePixels(images, size, inspection.digests), inspection
    if cache.kind == "ram" or images.origin is None:
        pixels = _allocate((len(manifest), size, size, 3))

        def keep(row: int) -> Scan:
            scan = images.scan(row, size)
            pixels[row] = scan.pixels
            return scan

        return ArrayPixels(pixels), look(keep)
    with Store.under(cache.directory or default_cache_dir(), images.origin, size).opened_for(images) as stored:
        inspection = look(stored.scan)
    return stored.pixels(), inspection


def scan_dataset(
    manifest: Manifest,
    scan: Callable[[int], Scan] | None = None,
    *,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> Inspection:
    """Inspect a data set, with a progress bar; see `inspect`."""
    done = 0
    with progress_bar("Reading images", len(manifest)) as advance:

        def progress(total: int) -> None:
            nonlocal done
            advance(total - done)
            done = total

        return inspect(manifest, val_fraction, test_fraction, seed=seed, scan=scan, progress=progress)


def _reasons(problems: tuple[Problem, ...]) -> dict[int, list[str]]:
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        for row in problem.rows:
            reasons.setdefault(row, []).append(f"{problem.kind}: {problem.message}")
    return reasons


def _allocate(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    need, free = int(np.prod(shape)), psutil.virtual_memory().available
    if need > free:
        raise RunError(
            f"The decoded images need {human_bytes(need)}, but {human_bytes(free)} of memory are free. Keep them on the disk "
            "(`--cache disk`) or nowhere (`--cache none`), choose a smaller `--size`, or take fewer images at a time."
        )
    return np.empty(shape, np.uint8)
