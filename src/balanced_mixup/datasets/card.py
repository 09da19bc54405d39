"""What is known of a published data set, and how the rows of its label files are read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

PREPARED = "prepare.yaml"  # stands in each folder that a data set was prepared in

Cells = Mapping[str, str]


def column(name: str) -> Callable[[Cells], str]:
    """Return a function from the cells of a row to the one in the column `name`."""
    return lambda cells: cells[name]


def key(image: str) -> str:
    """Return what the name of an image is matched by: no folder, no image extension, lower case.

    Label files write `10_left`, `IM004806.JPG` or `0.jpg` for files called `10_left.jpeg`, `IM004806.jpg` and `0.png`.
    """
    return re.sub(r"\.(jpe?g|png|tiff?|bmp|ppm)$", "", image.replace("\\", "/").rpartition("/")[2].lower())


@dataclass(frozen=True)
class LabelFile:
    """One published label file.

    Args:
        names: What the file may be called; the published name first.
        image: Column with the name of the image.
        label: The class of a row, "" where it has none.
        needs: Columns that `label` and `group` read.
        split: Part that all its images belong to, "" where none is published.
        group: The patient, video or lesion of a row; None where that is not published.
        keep: Further columns that are passed on as they are.
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
class FoldFile:
    """A published division of the images into folds.

    Args:
        names: What the file may be called.
        image: Column with the name of the image.
        label: Column with its class, in the file's own spelling.
        fold: Column with the number of its fold.
        becomes: Our name of that column.
    """

    names: tuple[str, ...]
    image: str
    label: str
    fold: str
    becomes: str


@dataclass(frozen=True)
class Card:
    """A published data set.

    Args:
        name: What the command line calls it.
        title: Its own name.
        task: What is to be told from what, in a line.
        classes: The K classes as published, in their order, each with a readable name.
        ordinal: The classes are grades in that order.
        counts: Published images of each part and class; the part is "all" where no split is published. Empty where only
            `totals` are.
        url: Its own page, where to get it.
        licence: What may be done with the images.
        layout: The files and folders that are expected under the raw folder.
        groups: What a group is, or why there is none.
        citation: What to cite.
        totals: Published images of each part.
        label_files: How the labels are read; several of one name are its different editions.
        fold_files: Published folds, used where they are there.
        aliases: Other spellings of classes, in folders and fold files.
        class_folders: The folder of an image is named after its class.
        passes_over: Names of folders that hold no labelled images of this data set.
        fundus: The images are photographs of the retina, to be cropped to its disc.
        sizes: The sizes that exist; any if empty.
        default_size: Side of the prepared images in pixels.
        default_format: Of the prepared images.
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
    fold_files: tuple[FoldFile, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    class_folders: bool = False
    passes_over: tuple[str, ...] = ()
    fundus: bool = False
    sizes: tuple[int, ...] = ()
    default_size: int = 512
    default_format: str = "jpg"

    @property
    def published(self) -> dict[str, int]:
        """Published images of each part."""
        return {part: sum(counts.values()) for part, counts in self.counts.items()} or dict(self.totals)

    def class_of(self, spelling: str) -> str | None:
        """Return the class that a folder or a fold file calls `spelling`, None where it is none."""
        spellings = {_plain(name): name for name in self.classes} | {_plain(a): name for a, name in self.aliases.items()}
        return spellings.get(_plain(spelling))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
