"""The description of a published data set, and how the rows of its label files are read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Cells = Mapping[str, str]


def column(name: str) -> Callable[[Cells], str]:
    """Return a function from the cells of a row to the cell in the column `name`."""
    return lambda cells: cells[name]


def key(image: str) -> str:
    """Return the name by which an image is matched: without folder and image extension, in lower case.

    Label files write `10_left`, `IM004806.JPG` or `0.jpg` for files called `10_left.jpeg`, `IM004806.jpg` and `0.png`.
    """
    return re.sub(r"\.(jpe?g|png|tiff?|bmp|ppm)$", "", image.replace("\\", "/").rpartition("/")[2].lower())


@dataclass(frozen=True)
class LabelFile:
    """One published label file.

    Args:
        names: Possible names of the file; the published name first.
        image: Column with the name of the image.
        label: The class of a row, "" if it has none.
        needs: Columns that `label` and `group` read.
        split: Split that all its images belong to, "" if none is published.
        group: The patient, video or lesion of a row; None if it is not published.
        keep: Further columns to keep.
        constants: Further columns with one value for the whole file.
    """

    names: tuple[str, ...]
    image: str
    label: Callable[[Cells], str]
    needs: tuple[str, ...]
    split: str = ""
    group: Callable[[Cells], str] | None = None
    keep: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the file must have."""
        return tuple(dict.fromkeys((self.image, *self.needs, *self.keep)))


@dataclass(frozen=True)
class PublishedFolds:
    """A published file with the fold of each image.

    Args:
        names: Possible names of the file.
        image: Column with the name of the image.
        label: Column with its class, in the file's own spelling.
        fold: Column with the number of its fold.
        column: Name of that column in the prepared table.
    """

    names: tuple[str, ...]
    image: str
    label: str
    fold: str
    column: str


@dataclass(frozen=True)
class Card:
    """A published data set.

    Args:
        name: Name on the command line.
        title: Its own name.
        task: The classification task, in a line.
        classes: The K classes as published, in their order, each with a readable name.
        ordinal: The classes are ordinal, in that order.
        counts: Published images of each split and class; the split is "all" if none is published. Empty if only `totals` are.
        url: Its home page, where to get it.
        licence: What the images may be used for.
        layout: The files and folders that are expected under the raw folder.
        groups: What a group is, or why there is none.
        citation: What to cite.
        totals: Published images of each split.
        label_files: How the labels are read; several of one name are its different editions.
        folds: Published folds, used if their file exists.
        aliases: Other spellings of classes, in folders and fold files.
        class_folders: The folder of an image is named after its class.
        skipped_folders: Names of folders without labelled images of this data set.
        fundus: The images are photographs of the retina, to be cropped to its disc.
        sizes: The available sizes; any if empty.
        default_size: Side of the prepared images in pixels.
        default_format: Format of the prepared images.
    """

    name: str
    title: str
    task: str
    classes: Mapping[str, str]
    ordinal: bool
    counts: Mapping[str, Mapping[str, int]]
    url: str
    licence: str
    layout: str
    groups: str
    citation: str
    totals: Mapping[str, int] = field(default_factory=dict)
    label_files: tuple[LabelFile, ...] = ()
    folds: tuple[PublishedFolds, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    class_folders: bool = False
    skipped_folders: tuple[str, ...] = ()
    fundus: bool = False
    sizes: tuple[int, ...] = ()
    default_size: int = 512
    default_format: str = "jpg"

    @property
    def published(self) -> dict[str, int]:
        """Published images of each split."""
        return {split: sum(counts.values()) for split, counts in self.counts.items()} or dict(self.totals)

    def class_of(self, spelling: str) -> str | None:
        """Return the class that a folder or a fold file calls `spelling`, None if it is not a class."""
        spellings = {_plain(name): name for name in self.classes} | {_plain(a): name for a, name in self.aliases.items()}
        return spellings.get(_plain(spelling))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
