"""What a report says: sections of blocks. Formats only lay them out, so that none can say anything else."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from balanced_mixup.report.figures.style import Drawing


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Sentences below each other."""

    items: Sequence[str]


@dataclass(frozen=True)
class Note:
    """What is missing and why, or what the reader has to beware of; set apart."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: What it shows.
        header: Of its columns.
        rows: Cells as text, a row as long as the header.
        words: How many of the first columns hold words, which are set left; the others hold numbers.
        links: Where the first cell of each row leads, from the report's own folder; "" for nowhere.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    links: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """A figure.

    Args:
        name: Of its files, unique within the report.
        caption: What it shows and how to read it.
        drawing: The figure with its numbers and its description in words.
    """

    name: str
    caption: str
    drawing: Drawing


@dataclass(frozen=True)
class View:
    """An image as a JPEG, with what it is in words."""

    jpeg: bytes
    alternative: str


@dataclass(frozen=True)
class Picture:
    """An image of the data, in one or more views beside each other.

    Args:
        views: At least one.
        lines: What is written below it.
        classes: By which it can be filtered.
    """

    views: Sequence[View]
    lines: Sequence[str]
    classes: Sequence[str] = ()


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other; with `filtered` the reader can choose a class."""

    caption: str
    pictures: Sequence[Picture]
    filtered: bool = False


@dataclass(frozen=True)
class Folded:
    """A long text that is shown on demand, as it is."""

    title: str
    text: str


Block = Text | Listing | Note | Table | Chart | Gallery | Folded


@dataclass(frozen=True)
class Section:
    """A part of the report; `name` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report.

    Args:
        title: Of the whole.
        subtitle: What it is about, in a line.
        sections: In their order.
    """

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=tuple)

    def charts(self) -> list[Chart]:
        """Return all figures in their order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Chart)]
