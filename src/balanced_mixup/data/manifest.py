"""The manifest: one row per image, for every data source."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import Problem

if TYPE_CHECKING:
    from balanced_mixup.data.decoding import Decoding

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
}  # other names of the splits, in lower case

_SETTLED_NS = 2 * 10**9  # the coarsest timestamp resolution of a file system


class Scan(NamedTuple):
    """One image from a single read: its pixels, RGB uint8 (H, W, 3), its size before resizing, its digest."""

    pixels: npt.NDArray[np.uint8]
    height: int
    width: int
    digest: str


class Stamp(NamedTuple):
    """A cheap way to see whether an image has changed; its times are in ns since 1970."""

    fingerprint: str  # differs once the image has changed
    changed_ns: int  # time of the last change
    seen_ns: int  # time at which the stamp was taken

    @property
    def stable_fingerprint(self) -> str:
        """The fingerprint; "" if the last change is so recent that another one could leave the timestamps as they are."""
        return self.fingerprint if self.seen_ns - self.changed_ns > _SETTLED_NS else ""


class Images(ABC):
    """Images by position. `names` are unique within a data set and identify images in messages and predictions.

    `origin` is the folder or file that the images are read from; None if they exist in memory only. `drawn`: each was drawn by
    this program, so that none is a copy of another, however alike they are.
    """

    names: Sequence[str]
    origin: str | None
    drawn = False

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def read(self, index: int, size: int | None = None) -> npt.NDArray[np.uint8]:
        """Return image `index` as RGB uint8 (H, W, 3), or resized to (size, size, 3). DataError if it cannot be read."""
        return self.scan(index, size).pixels

    def decoded_by(self, decoding: "Decoding") -> Self:
        """Return the same images, decoded in another way; these images where there is nothing to decode."""
        return self

    def remarks(self) -> tuple[Problem, ...]:
        """Return warnings about the images that their table does not show; none by default."""
        return ()

    @abstractmethod
    def scan(self, index: int, size: int | None = None) -> Scan:
        """Return the pixels of image `index`, its original size and its digest, from a single read. DataError as `read`."""

    @abstractmethod
    def digest(self, index: int) -> str:
        """Return a hash of the stored content: equal for identical images, whatever their names."""

    @abstractmethod
    def key(self, index: int) -> str:
        """Return the name of image `index` within its origin."""

    @abstractmethod
    def stamp(self, index: int) -> Stamp | None:
        """Return the stamp of image `index` without reading it; None if it does not exist."""

    @abstractmethod
    def subset(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return some of the images without copying pixels; pickled, it contains nothing of the others."""


@dataclass(frozen=True)
class Manifest:
    """A data set: images with labels, and with groups and a split where they are known.

    Args:
        images: N images.
        labels: int64 (N,), positions in `classes`; -1 for an invalid label (see `problems`).
        classes: Names of the K classes in their order.
        ordinal: The classes are ordinal, in that order.
        groups: str (N,), the patient, lesion ... that an image belongs to, or None.
        split: str (N,), each of "train", "val", "test", or None where no split is given.
        published_split: The split was published with the data and cannot be changed: a leak in it is only a warning.
        problems: What is wrong with the table itself; no image has been opened yet.
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

    def counts(self, split: str | None = None) -> npt.NDArray[np.int64]:
        """Return the number of images of each class, int64 (K,), in total or in one split."""
        labels = self.labels if split is None else self.labels[self.rows(split)]
        return np.bincount(labels[labels >= 0], minlength=len(self.classes))

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Return the rows of one split ("train", "val" or "test"), in ascending order."""
        if self.split is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.split == split)

    def with_split(self, split: npt.NDArray[np.str_]) -> "Manifest":
        """Return the same data set with another split."""
        return replace(self, split=split)

    def subset(self, rows: npt.NDArray[np.int64]) -> "Manifest":
        """Return the data set of some rows, without the problems that concern other rows alone."""
        position = {row: new for new, row in enumerate(rows.tolist())}
        problems = []
        for problem in self.problems:
            kept = tuple(position[row] for row in problem.rows if row in position)
            if kept or not problem.rows:
                problems.append(replace(problem, rows=kept))
        return replace(
            self,
            images=self.images.subset(rows),
            labels=self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
            split=None if self.split is None else self.split[rows],
            problems=tuple(problems),
        )
