"""From a manifest to pixels that can be trained on or scored: look at every image, judge, split."""

import logging
import tempfile
from dataclasses import dataclass

import numpy as np

from balanced_mixup.data.batches import Pixels
from balanced_mixup.data.inspection import Inspection, exclude, inspect
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.errors import DataError, Problem, describe
from balanced_mixup.progress import progress_bar

log = logging.getLogger("balanced_mixup")

_IN_MEMORY = 4 * 2**30


@dataclass(frozen=True)
class Prepared:
    """A data set that is fit for use.

    Args:
        pixels: uint8 (N, size, size, 3).
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
    exclude_bad: bool = False,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> Prepared:
    """Read a data set, each image once.

    Args:
        manifest: As its source gave it.
        size: Side in pixels of the square that each image is resized to.
        exclude_bad: Leave out rows with a problem instead of stopping.
        val_fraction: Share for validation where the data give none; None where the data are not for training.
        test_fraction: Share for the test where the data give no split.
        seed: Of the split.

    Raises:
        DataError: Something is wrong with the data; lists all of it.
    """
    pixels, inspection = read(manifest, size, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
    excluded: tuple[tuple[str, str], ...] = ()
    if exclude_bad and inspection.excludable:
        reasons = _reasons(inspection.excludable)
        inspection, left_out = exclude(inspection)
        excluded = tuple((manifest.images.names[row], "; ".join(reasons[row])) for row in left_out.tolist())
        pixels = np.delete(pixels, left_out, axis=0)
        log.warning("Left out %d of %d images that have a problem.", len(left_out), len(manifest))
    if inspection.fatal:
        raise DataError(inspection.fatal)
    if inspection.warnings:
        log.warning("%s", describe(inspection.warnings, examples=5))
    return Prepared(pixels, inspection.planned, inspection.digests, excluded)


def read(
    manifest: Manifest, size: int | None, *, val_fraction: float | None = None, test_fraction: float = 0.0, seed: int = 0
) -> tuple[Pixels, Inspection]:
    """Open every image once, with a progress bar.

    Args:
        manifest: N images.
        size: Side in pixels of the square that each image is resized to; None keeps no pixels.
        val_fraction, test_fraction, seed: As for `inspect`.

    Returns:
        Pixels uint8 (N, size, size, 3), undefined where an image could not be read, and what was found.
    """
    pixels = _allocate((len(manifest), size, size, 3) if size else (0,))
    done = 0

    def keep(row: int, image: Pixels) -> None:
        pixels[row] = image

    with progress_bar("Reading images", len(manifest)) as advance:

        def progress(total: int) -> None:
            nonlocal done
            advance(total - done)
            done = total

        visit = keep if size else None
        inspection = inspect(manifest, val_fraction, test_fraction, seed=seed, size=size, visit=visit, progress=progress)
    return pixels, inspection


def _reasons(problems: tuple[Problem, ...]) -> dict[int, list[str]]:
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        for row in problem.rows:
            reasons.setdefault(row, []).append(f"{problem.kind}: {problem.message}")
    return reasons


def _allocate(shape: tuple[int, ...]) -> Pixels:
    """Return an array in memory, or one backed by an unnamed temporary file where it is large."""
    if np.prod(shape) <= _IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)
