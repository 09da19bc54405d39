"""Inspecting a whole data set before it is used: every image is opened once, and every problem is reported at once."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from balanced_mixup.data import checks
from balanced_mixup.data.copies import Copies, find_copies
from balanced_mixup.data.manifest import SPLITS, Images, Manifest, Scan
from balanced_mixup.data.pillow_scope import pillow_scope
from balanced_mixup.data.pixel_budget import LEFT_TO_PARENT, budget
from balanced_mixup.data.settings import SPLIT_VERSION
from balanced_mixup.data.splits import check_fractions, complete_split, given_splits
from balanced_mixup.data.thumbnails import Look, Looks
from balanced_mixup.errors import DataError, Problem
from balanced_mixup.progress import progress_bar
from balanced_mixup.words import counted
from balanced_mixup.workers import map_in_processes

_MANY = 1000  # images for which processes are started
_CHUNK = 256  # images that a process takes at a time
_OF_THREAD = 32  # and a thread
_NAMED = 10  # classes that a short description names

Looking = Literal["no", "pixels", "thumbnails"]  # what is noted of an image, beside its size
FindCopies = Callable[[npt.NDArray[np.int64], tuple[str, ...]], Copies]


@dataclass(frozen=True)
class SplitPlan:
    """How the data will be split for training; see `complete_split`."""

    val_fraction: float
    test_fraction: float
    seed: int
    version: int


@dataclass(frozen=True)
class Inspection:
    """The state of a data set after each of its images was opened.

    Args:
        manifest: As its source gave it, with the problems of its images added; its split is the given one.
        planned: The same with the split that training would use (the given one if `plan` is None).
        plan: How the split was made; None for data that are not to be trained on.
        shapes: int64 (N, 2), height and width of each image; 0 if it could not be read.
        digests: (N,), the digest of each image; "" if it could not be read.
        copies: Which images are copies of each other.
        problems: All problems, of the table, of single images and between images.
    """

    manifest: Manifest
    planned: Manifest
    plan: SplitPlan | None
    shapes: npt.NDArray[np.int64]
    digests: tuple[str, ...]
    copies: Copies
    problems: tuple[Problem, ...]

    def __repr__(self) -> str:
        """Return the number of images of each class, and of problems and warnings, in a few lines."""
        counts = sorted(zip(self.manifest.counts().tolist(), self.manifest.classes, strict=True), reverse=True)
        named = ", ".join(f"{name} {count:,}" for count, name in counts[:_NAMED]) + (", ..." if len(counts) > _NAMED else "")
        found = f"{counted(len(self.fatal), 'problem')}, {counted(len(self.warnings), 'warning')}"
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in Counter(each.kind for each in self.problems).most_common())
        return f"Inspection({counted(len(self.manifest), 'image')}: {named}\n  {found}{': ' * bool(kinds)}{kinds})"

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """The problems that stop a training."""
        return tuple(problem for problem in self.problems if problem.fatal)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not stop a training."""
        return tuple(problem for problem in self.problems if not problem.fatal)

    @property
    def excludable(self) -> tuple[Problem, ...]:
        """The problems that excluding rows would solve: fatal ones that name rows, and leaks in a published split."""
        return tuple(problem for problem in self.problems if problem.rows and (problem.fatal or problem.kind in checks.LEAKS))

    @property
    def group_sizes(self) -> npt.NDArray[np.int64]:
        """Number of images of each group, ascending; empty if there are no groups."""
        groups = self.manifest.groups
        return np.zeros(0, np.int64) if groups is None else np.sort(np.unique(groups, return_counts=True)[1])

    @property
    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """((width, height), number of images) of each size, most frequent first."""
        readable = self.shapes[self.shapes[:, 0] > 0]
        return Counter((width, height) for height, width in readable.tolist()).most_common()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain lists, numbers and strings, for JSON."""
        counts, sizes = self.manifest.counts(), self.group_sizes
        by_split = {split: self.planned.counts(split).tolist() for split in SPLITS if len(self.planned.rows(split))}
        spread = {"min": int(sizes[0]), "median": float(np.median(sizes)), "max": int(sizes[-1])} if len(sizes) else {}
        return {
            "n": len(self.manifest),
            "ordinal": self.manifest.ordinal,
            "classes": [
                {"name": name, "count": int(counts[k]), "share": float(counts[k] / max(counts.sum(), 1))}
                | {split: split_counts[k] for split, split_counts in by_split.items()}
                for k, name in enumerate(self.manifest.classes)
            ],
            "groups": {"count": len(sizes), **spread} if spread else None,
            "sizes": [{"width": width, "height": height, "count": count} for (width, height), count in self.sizes],
            "split": {split: len(self.planned.rows(split)) for split in by_split},
            "split_given": sorted(given_splits(self.manifest), key=SPLITS.index),
            "errors": len(self.fatal),
            "warnings": len(self.warnings),
            "problems": [asdict(problem) | {"rows": list(problem.rows)} for problem in self.problems],
        }


def check_table(manifest: Manifest) -> None:
    """Raise DataError where the table alone stops a training, before any image is opened."""
    problems = tuple(problem for problem in (*manifest.problems, *checks.divided_groups(manifest)) if problem.fatal)
    if problems:
        raise DataError(problems)


def inspect(
    manifest: Manifest,
    val_fraction: float | None,
    test_fraction: float = 0.0,
    *,
    seed: int = 0,
    split_version: int = SPLIT_VERSION,
    scan: Callable[[int], Scan] | None = None,
    near_copies: bool = True,
    copies: FindCopies | None = None,
    block: int | None = None,
    after_block: Callable[[npt.NDArray[np.int64]], None] = lambda rows: None,
) -> Inspection:
    """Open every image of `manifest`, with a progress bar, and find all problems; bad data raise no error.

    Args:
        manifest: N images.
        val_fraction: Fraction for validation, as for `complete_split`; None for data that are not to be trained on: no split
            is planned, and a missing one is not a problem.
        test_fraction: Fraction for the test.
        seed, split_version: Of the split; see `make_split`.
        scan: Opens the image of a row; called from several threads, in any order; may keep the pixels. If not given, images
            are opened by `Images.scan`, many in several processes, and an image that several rows name only once.
        near_copies: Compare the pixels; else images of the same bytes alone are copies.
        copies: Compares the images, given their shapes and digests, where `scan` returns no pixels.
        block: With `scan`, how many images are opened before the next ones wait for `after_block`; all if not given.
        after_block: Called with the rows of each block, ascending, once all of them have been opened.

    Raises:
        UsageError: The fractions are impossible.
    """
    plan = None if val_fraction is None else SplitPlan(val_fraction, test_fraction, seed, split_version)
    if plan is not None:
        check_fractions(manifest, plan.val_fraction, plan.test_fraction)
    near_copies = near_copies and not manifest.images.drawn
    n = len(manifest)
    shapes, digests, opened_at = np.zeros((n, 2), np.int64), [""] * n, np.zeros(n, np.int64)
    found: dict[int, tuple[Problem, ...]] = {}
    rows, again = _distinct(manifest.images) if scan is None else (np.arange(n), {})
    looks = Looks(len(rows)) if near_copies and copies is None else None
    with progress_bar("Reading images", len(rows)) as advance:
        images = manifest.images
        looking: Looking = "no" if looks is None else "pixels" if looks.thumbnails is None else "thumbnails"
        position = 0
        chunks = (
            _open_in_processes(images, rows, looking)
            if scan is None
            else _open_in_threads(rows, scan, images.names, looking, block or len(rows), after_block)
        )
        for chunk, opened in chunks:
            for row, image in zip(chunk, opened, strict=True):
                if looks is not None and image.look is not None:
                    looks.put(position, image.look)
                for same in (row, *again.get(row, ())):
                    shapes[same], digests[same] = (image.height, image.width), image.digest
                    opened_at[same] = position
                    if image.problems:
                        found[same] = tuple(replace(problem, rows=(same,)) for problem in image.problems)
                position += 1
            advance(len(chunk))
    # A row without a usable path has a problem from its source, and the same one from the attempt to read it.
    of_images = (problem for row in sorted(found) for problem in found[row])
    problems = dict.fromkeys((*manifest.problems, *of_images, *manifest.images.remarks()))
    known = Copies(tuple(digests))
    if looks is not None:
        known = find_copies(looks).subset(opened_at)
    elif near_copies and copies is not None:
        known = copies(shapes, tuple(digests))
    return _inspect_together(replace(manifest, problems=tuple(problems)), plan, shapes, tuple(digests), known)


class _OpenedImage(NamedTuple):
    """The state of one image after it was opened; the defaults are those of an unreadable one."""

    height: int = 0
    width: int = 0
    digest: str = ""
    look: Look | None = None
    problems: tuple[Problem, ...] = ()


def _distinct(images: Images) -> tuple[npt.NDArray[np.int64], dict[int, list[int]]]:
    """Return the rows to open, so that each image is opened once, and the later rows of the same image by the first one."""
    first: dict[str, int] = {}
    copies: dict[int, list[int]] = {}
    rows = []
    for row in range(len(images)):
        key = images.key(row)
        earlier = first.setdefault(key, row) if key else row
        if earlier == row:
            rows.append(row)
        else:
            copies.setdefault(earlier, []).append(row)
    return np.array(rows, np.int64), copies


def _open_in_processes(
    images: Images, rows: npt.NDArray[np.int64], looking: Looking
) -> Iterator[tuple[list[int], list[_OpenedImage]]]:
    """Yield rows and their images, in order, opened by one process per core: of small images, threads block each other."""
    chunks = np.split(rows, range(_CHUNK, len(rows), _CHUNK))
    processes = os.cpu_count() or 1 if len(rows) >= _MANY else 1
    tasks = ((images.subset(chunk), processes, looking) for chunk in chunks)
    with closing(map_in_processes(open_images, tasks, processes)) as opened:
        for chunk, found in zip(chunks, opened, strict=True):
            for k, row in enumerate(chunk.tolist()):
                if found[k].problems and found[k].problems[0].kind == LEFT_TO_PARENT:
                    found[k] = _open(images.scan, row, images.names[row], looking)
            yield chunk.tolist(), found


def open_images(images: Images, processes: int, looking: Looking) -> list[_OpenedImage]:
    """Open images, as one of several processes; what they look like is noted if `looking`."""
    budget.share_with(processes)
    with pillow_scope(
        1
    ):  # which each image widens to its own limit; to set and reset it takes a tenth of the time of a small one
        return [_open(images.scan, row, images.names[row], looking) for row in range(len(images))]


def _open_in_threads(
    rows: npt.NDArray[np.int64],
    scan: Callable[[int], Scan],
    names: Sequence[str],
    looking: Looking,
    block: int,
    after_block: Callable[[npt.NDArray[np.int64]], None],
) -> Iterator[tuple[list[int], list[_OpenedImage]]]:
    """Yield rows and their images, in order, while several threads open the next ones of the block."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for part in np.split(rows, range(block, len(rows), block or 1)):
            chunks = [chunk.tolist() for chunk in np.split(part, range(_OF_THREAD, len(part), _OF_THREAD))]
            opened = threads.map(lambda chunk: [_open(scan, row, names[row], looking) for row in chunk], chunks)
            yield from zip(chunks, opened, strict=True)
            after_block(part)


def _open(scan: Callable[[int], Scan], row: int, name: str, looking: Looking) -> _OpenedImage:
    try:
        found = scan(row)
    except DataError as error:
        return _OpenedImage(problems=error.problems)
    except MemoryError:
        message = f"{name}: not enough memory to read it"
        return _OpenedImage(problems=(Problem("image too large", message, "Shrink it, or leave it out."),))
    look = None
    if looking != "no":
        look = Look.at(found.pixels, found.height, found.width, with_thumbnail=looking == "thumbnails")
    return _OpenedImage(found.height, found.width, found.digest, look)


def _inspect_together(
    manifest: Manifest, plan: SplitPlan | None, shapes: npt.NDArray[np.int64], digests: tuple[str, ...], copies: Copies
) -> Inspection:
    """Plan the split, and find the problems between images that have been opened."""
    found = [
        *checks.identical_images(manifest, copies),
        *checks.near_copies(manifest, copies),
        *checks.divided_groups(manifest),
    ]
    planned = manifest
    if plan is not None:
        planned = complete_split(manifest, plan.val_fraction, plan.test_fraction, plan.seed, copies.together, plan.version)
        needs_test = plan.test_fraction > 0 and not given_splits(manifest) - {"train"}
        found += checks.empty_splits(planned, SPLITS if needs_test else SPLITS[:2])
        found += checks.small_classes(planned)
    return Inspection(manifest, planned, plan, shapes, digests, copies, (*manifest.problems, *found))


def exclude(inspection: Inspection) -> tuple[Inspection, npt.NDArray[np.int64]]:
    """Exclude the rows of `inspection.excludable` and inspect the rest again, without opening an image again.

    Problems that name no rows stay, such as a group on both sides of a given split; the remaining data may have fatal ones too.

    Returns:
        The inspection of the remaining rows, and the rows that were excluded, int64, ascending, as in `inspection.manifest`.

    Raises:
        DataError: No row would remain.
    """
    n = len(inspection.manifest)
    bad = np.unique(np.array([row for problem in inspection.excludable for row in problem.rows], np.int64))
    if len(bad) == n:
        raise DataError(inspection.problems)
    rows = np.setdiff1d(np.arange(n), bad)
    digests = tuple(inspection.digests[row] for row in rows)
    manifest = inspection.manifest.subset(rows)
    copies = inspection.copies.subset(rows)
    return _inspect_together(manifest, inspection.plan, inspection.shapes[rows], digests, copies), bad
