"""Looking at a whole data set before anything is done with it: every image is opened once, every problem is found at once."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from balanced_mixup.data import checks
from balanced_mixup.data.manifest import SPLITS, Manifest, Scan
from balanced_mixup.data.splits import check_fractions, complete_split, given_parts
from balanced_mixup.errors import DataError, Problem

_CHUNK = 32  # images a thread takes at a time


@dataclass(frozen=True)
class Plan:
    """How the data are to be divided for training; see `complete_split`."""

    val_fraction: float
    test_fraction: float
    seed: int


@dataclass(frozen=True)
class Inspection:
    """What is known of a data set once each of its images was opened.

    Args:
        manifest: As it came from its source, with the problems of its images added; its split is the given one.
        planned: The same with the split that training would use (the given one where `plan` is None).
        plan: How the split was made; None for data that are not to be trained on.
        shapes: int64 (N, 2), height and width of each image; 0 where it could not be read.
        digests: (N,), the digest of each image; "" where it could not be read.
        problems: Everything that was found, of the table, the images, and between images.
    """

    manifest: Manifest
    planned: Manifest
    plan: Plan | None
    shapes: npt.NDArray[np.int64]
    digests: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """The problems that stop a training."""
        return tuple(problem for problem in self.problems if problem.fatal)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that the user should only know."""
        return tuple(problem for problem in self.problems if not problem.fatal)

    @property
    def excludable(self) -> tuple[Problem, ...]:
        """The problems that leaving out rows would solve: fatal ones that name rows, and leaks in a published split."""
        return tuple(problem for problem in self.problems if problem.rows and (problem.fatal or problem.kind == checks.LEAK))

    @property
    def group_sizes(self) -> npt.NDArray[np.int64]:
        """Number of images of each group, ascending; of length 0 where there are no groups."""
        groups = self.manifest.groups
        return np.zeros(0, np.int64) if groups is None else np.sort(np.unique(groups, return_counts=True)[1])

    @property
    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """((width, height), number of images) of each size, most frequent first."""
        readable = self.shapes[self.shapes[:, 0] > 0]
        return Counter((width, height) for height, width in readable.tolist()).most_common()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain lists, numbers and strings, for JSON."""
        counts = self.manifest.counts()
        parts = {part: self.planned.counts(part).tolist() for part in SPLITS if len(self.planned.rows(part))}
        groups, sizes = self.group_sizes, self.sizes
        return {
            "n": len(self.manifest),
            "ordinal": self.manifest.ordinal,
            "classes": [
                {"name": name, "count": int(counts[k]), "share": float(counts[k] / max(counts.sum(), 1))}
                | {part: of_class[k] for part, of_class in parts.items()}
                for k, name in enumerate(self.manifest.classes)
            ],
            "groups": _spread(groups) if len(groups) else None,
            "sizes": [{"width": width, "height": height, "count": count} for (width, height), count in sizes],
            "split": {part: len(self.planned.rows(part)) for part in parts},
            "split_given": sorted(given_parts(self.manifest), key=SPLITS.index),
            "errors": len(self.fatal),
            "warnings": len(self.warnings),
            "problems": [
                {"kind": p.kind, "message": p.message, "remedy": p.remedy, "rows": list(p.rows), "fatal": p.fatal}
                for p in self.problems
            ],
        }


def _spread(sizes: npt.NDArray[np.int64]) -> dict[str, float]:
    return {"count": len(sizes), "min": int(sizes[0]), "median": float(np.median(sizes)), "max": int(sizes[-1])}


def inspect(
    manifest: Manifest,
    val_fraction: float | None,
    test_fraction: float = 0.0,
    *,
    seed: int = 0,
    scan: Callable[[int], Scan] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inspection:
    """Open every image of `manifest` and find everything that is wrong with it; nothing is raised for bad data.

    Args:
        manifest: N images.
        val_fraction: Share for validation, as for `complete_split`; None for data that are not to be trained on: no split is
            planned and none is missed.
        test_fraction: Share for the test.
        seed: Of the split.
        scan: Opens the image of a row, as `Images.scan` does, which it is if not given. Called from several threads, in any
            order; may keep the pixels.
        progress: Called with the number of images done so far.

    Raises:
        UsageError: The fractions cannot be had.
    """
    plan = None if val_fraction is None else Plan(val_fraction, test_fraction, seed)
    if plan is not None:
        check_fractions(manifest, plan.val_fraction, plan.test_fraction)
    found: list[_Finding] = []
    for some in _open_all(len(manifest), scan or manifest.images.scan):
        found += some
        if progress is not None:
            progress(len(found))
    problems = [problem for finding in found for problem in finding.problems]
    # a row without a usable path has its problem from the source, and the same again from the attempt to read it
    manifest = replace(manifest, problems=tuple(dict.fromkeys((*manifest.problems, *problems))))
    shapes = np.array([(finding.height, finding.width) for finding in found], np.int64).reshape(-1, 2)
    return _judge(manifest, plan, shapes, tuple(finding.digest for finding in found))


class _Finding(NamedTuple):
    """What opening one image told; the defaults stand for an image that cannot be read."""

    height: int = 0
    width: int = 0
    digest: str = ""
    problems: tuple[Problem, ...] = ()


def _open_all(n: int, scan: Callable[[int], Scan]) -> Iterator[list[_Finding]]:
    """Yield the findings in the order of the images, some at a time, while several threads go on."""

    def look(row: int) -> _Finding:
        try:
            found = scan(row)
        except DataError as error:
            return _Finding(problems=tuple(replace(problem, rows=(row,)) for problem in error.problems))
        return _Finding(found.height, found.width, found.digest)

    def look_at_some(start: int) -> list[_Finding]:
        return [look(row) for row in range(start, min(start + _CHUNK, n))]

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from threads.map(look_at_some, range(0, n, _CHUNK))


def _judge(manifest: Manifest, plan: Plan | None, shapes: npt.NDArray[np.int64], digests: tuple[str, ...]) -> Inspection:
    """Plan the split, and look for what is wrong between images that have been opened."""
    found = [*checks.identical_images(manifest, digests), *checks.divided_groups(manifest)]
    planned = manifest
    if plan is not None:
        planned = complete_split(manifest, plan.val_fraction, plan.test_fraction, plan.seed, digests)
        test_wanted = plan.test_fraction > 0 and not given_parts(manifest) - {"train"}
        found += checks.empty_parts(planned, SPLITS if test_wanted else SPLITS[:2])
        found += checks.small_classes(planned)
    return Inspection(manifest, planned, plan, shapes, digests, (*manifest.problems, *found))


def exclude(inspection: Inspection) -> tuple[Inspection, npt.NDArray[np.int64]]:
    """Leave out the rows of `inspection.excludable`, and judge what remains again, without opening an image again.

    What names no rows stays, such as a group on both sides of a given split; the remaining data may have fatal problems too.

    Returns:
        The inspection of the remaining rows, and the rows that were left out, int64, ascending, as in `inspection.manifest`.

    Raises:
        DataError: No row would remain.
    """
    n = len(inspection.manifest)
    bad = np.unique(np.array([row for problem in inspection.excludable for row in problem.rows], np.int64))
    if len(bad) == n:
        raise DataError(inspection.problems)
    rows = np.setdiff1d(np.arange(n), bad)
    digests = tuple(inspection.digests[row] for row in rows)
    return _judge(inspection.manifest.subset(rows), inspection.plan, inspection.shapes[rows], digests), bad
