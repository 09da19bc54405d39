"""The description of a published data set, and how the rows of its label files are read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

Cells = Mapping[str, str]
Column = str | Callable[[Cells], str]  # the name of a column, or a function of the cells of a row


def cell(column: Column, cells: Cells) -> str:
    """Return the value of a column in a row."""
    return cells[column] if isinstance(column, str) else column(cells)


def key(image: str) -> str:
    """Return the name by which an image is matched: without folder and image extension, in lower case.

    Label files write `10_left`, `IM004806.JPG` or `0.jpg` for files called `10_left.jpeg`, `IM004806.jpg` and `0.png`.
    """
    return re.sub(r"\.(jpe?g|png|tiff?|bmp|ppm)$", "", image.replace("\\", "/").rpartition("/")[2].lower())


@dataclass(frozen=True)
class LabelFile:
    """A published label file. `names` are its possible names, the published one first."""

    names: tuple[str, ...]
    image: str  # column with the name of the image
    label: Column  # the class of a row, "" if it has none
    split: str = ""  # split that all its images belong to, "" if none is published
    group: Column | None = None  # the patient, video or lesion of a row; None if it is not published
    needs: tuple[str, ...] = ()  # columns that `label` and `group` read if they are functions
    keep: tuple[str, ...] = ()  # further columns to keep
    constants: Mapping[str, str] = field(default_factory=dict)  # further columns with one value for the whole file

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the file must have."""
        named = (column for column in (self.label, self.group) if isinstance(column, str))
        return tuple(dict.fromkeys((self.image, *named, *self.needs, *self.keep)))


@dataclass(frozen=True)
class PublishedFolds:
    """A published file with the fold of each image. `names` are its possible names."""

    names: tuple[str, ...]
    image: str  # column with the name of the image
    label: str  # column with its class, in the file's own spelling
    fold: str  # column with the number of its fold
    column: str  # name of that column in the prepared table


@dataclass(frozen=True)
class Card:
    """A published data set."""

    name: str  # on the command line
    title: str  # full name
    task: str  # the classification task, in a line
    classes: Mapping[str, str]  # the K classes as published, in their order, each with a readable name
    ordinal: bool  # the classes are ordinal, in that order
    counts: Mapping[str, Mapping[str, int]]  # published images of each split ("all": none is published) and class
    url: str  # its home page, where to get it
    licence: str  # licence or terms of use
    layout: str  # the files and folders that are expected under the raw folder
    groups: str  # what a group is, or why there is none
    citation: str
    totals: Mapping[str, int] = field(default_factory=dict)  # published images of each split, if `counts` is empty
    label_files: tuple[LabelFile, ...] = ()  # several of one name are alternative editions
    folds: tuple[PublishedFolds, ...] = ()  # used if their file exists
    aliases: Mapping[str, str] = field(default_factory=dict)  # other spellings of classes, in folders and fold files
    class_folders: bool = False  # the folder of an image is named after its class
    skipped_folders: tuple[str, ...] = ()  # names of folders without labelled images of this data set
    fundus: bool = False  # the images are fundus photographs, to be cropped to the visible disc
    sizes: tuple[int, ...] = ()  # the available sizes; any if empty
    default_size: int = 512  # side of the prepared images in pixels
    default_format: str = "jpg"  # of the prepared images

    @property
    def published(self) -> dict[str, int]:
        """Published images of each split."""
        return {split: sum(counts.values()) for split, counts in self.counts.items()} or dict(self.totals)

    def class_of(self, spelling: str) -> str | None:
        """Return the class with this spelling in a folder or a fold file, None if it is not a class."""
        return self._spellings.get(_plain(spelling))

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {_plain(name): name for name in self.classes} | {_plain(a): name for a, name in self.aliases.items()}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
