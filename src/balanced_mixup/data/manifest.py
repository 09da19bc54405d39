"""The manifest: one row an image, whatever source the data come from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import Problem

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}  # what others call the parts, in lower case

_SETTLED_NS = 2 * 10**9  # the coarsest clock of a file system


class Scan(NamedTuple):
    """One image from a single reading: pixels as `Images.read` gives them, its size without resizing, its digest."""

    pixels: npt.NDArray[np.uint8]
    height: int
    width: int
    digest: str


class Stamp(NamedTuple):
    """What tells cheaply whether an image is still the same.

    Args:
        mark: Differs once the image has changed.
        changed_ns: When it changed last, in ns since 1970.
        seen_ns: When this was looked at.
    """

    mark: str
    changed_ns: int
    seen_ns: int

    @property
    def lasting_mark(self) -> str:
        """The mark, if a later change is sure to change it; "" if it changed so lately that its times may not tell."""
        return self.mark if self.seen_ns - self.changed_ns > _SETTLED_NS else ""


class Images(Protocol):
    """Pixels by position. `names` are unique within a data set and stand for the images in messages and predictions."""

    names: Sequence[str]

    @property
    def origin(self) -> str | None:
        """Where the images come from: a folder, a file; None where they are made or held in memory alone."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def read(self, index: int, size: int | None = None) -> npt.NDArray[np.uint8]:
        """Return image `index` as RGB uint8 (H, W, 3); with `size` resized to (size, size, 3).

        Raises:
            DataError: The image is missing or cannot be read; the message names it.
        """
        ...

    def digest(self, index: int) -> str:
        """Return a hash of the stored content: equal for identical images, whatever their names."""
        ...

    def scan(self, index: int, size: int | None = None) -> Scan:
        """Return what `read` and `digest` give, and the size without resizing, from a single reading."""
        ...

    def key(self, index: int) -> str:
        """Return what names image `index` within its origin."""
        ...

    def stamp(self, index: int) -> Stamp | None:
        """Return the stamp of image `index` without reading it; None where it is not there."""
        ...

    def part(self, rows: Sequence[int]) -> "Images":
        """Return some of the images, with nothing of the others, as it is sent to another process."""
        ...


class ImageSubset:
    """Some of the images of another data set, in the order of `rows`."""

    def __init__(self, images: Images, rows: npt.NDArray[np.int64]) -> None:
        """Args: rows: int64 (M,), positions in `images`."""
        self.names: Sequence[str] = [images.names[row] for row in rows]
        self._images = images
        self._rows = rows.tolist()

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    def read(self, index: int, size: int | None = None) -> npt.NDArray[np.uint8]:
        """Return image `index` of the subset as `Images.read` does."""
        return self._images.read(self._rows[index], size)

    def digest(self, index: int) -> str:
        """Return the digest of image `index` of the subset."""
        return self._images.digest(self._rows[index])

    def scan(self, index: int, size: int | None = None) -> Scan:
        """Scan image `index` of the subset."""
        return self._images.scan(self._rows[index], size)

    @property
    def origin(self) -> str | None:
        """Where the whole data set comes from."""
        return self._images.origin

    def key(self, index: int) -> str:
        """Return what names image `index` of the subset within its origin."""
        return self._images.key(self._rows[index])

    def stamp(self, index: int) -> Stamp | None:
        """Return the stamp of image `index` of the subset."""
        return self._images.stamp(self._rows[index])

    def part(self, rows: Sequence[int]) -> Images:
        """Return some of the images of the subset."""
        return self._images.part([self._rows[row] for row in rows])


@dataclass(frozen=True)
class Manifest:
    """A data set: images with labels, and with groups and a split where they are known.

    Args:
        images: N images.
        labels: int64 (N,), positions in `classes`; -1 where the label could not be understood (then `problems` says why).
        classes: Names of the K classes in their order.
        ordinal: The classes are grades in that order.
        groups: str (N,), the patient, lesion ... an image belongs to, or None.
        split: str (N,), each of "train", "val", "test", or None where no split is given.
        published_split: The split came with the data set and is not the user's to change: a leak in it is told, not refused.
        problems: What the source found wrong with the table itself; images have not been opened yet.
    """

    images: Images
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    ordinal: bool = False
    groups: npt.NDArray[np.str_] | None = None
    split: npt.NDArray[np.str_] | None = None
    published_split: bool = False
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def counts(self, part: str | None = None) -> npt.NDArray[np.int64]:
        """Return the number of images of each class, int64 (K,), of the whole or of one part of the split."""
        labels = self.labels if part is None else self.labels[self.rows(part)]
        return np.bincount(labels[labels >= 0], minlength=len(self.classes))

    def rows(self, part: str) -> npt.NDArray[np.int64]:
        """Return the rows of one part of the split ("train", "val" or "test"), in ascending order."""
        if self.split is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.split == part)

    def with_split(self, split: npt.NDArray[np.str_]) -> "Manifest":
        """Return the same data set with another split."""
        return replace(self, split=split)

    def subset(self, rows: npt.NDArray[np.int64]) -> "Manifest":
        """Return the data set of some rows; problems that concern other rows alone are left behind."""
        position = {row: new for new, row in enumerate(rows.tolist())}
        problems = []
        for problem in self.problems:
            kept = tuple(position[row] for row in problem.rows if row in position)
            if kept or not problem.rows:
                problems.append(replace(problem, rows=kept))
        return Manifest(
            images=ImageSubset(self.images, rows),
            labels=self.labels[rows],
            classes=self.classes,
            ordinal=self.ordinal,
            groups=None if self.groups is None else self.groups[rows],
            split=None if self.split is None else self.split[rows],
            published_split=self.published_split,
            problems=tuple(problems),
        )
