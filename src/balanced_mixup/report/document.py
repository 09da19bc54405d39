"""The content of a report, independent of its format: sections of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from balanced_mixup.report.figures.style import Drawing


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Listing:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Note:
    """A highlighted note: what is missing and why, or a caveat."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: What it shows.
        header: Column headings.
        rows: Cells as text, as many per row as the header has.
        words: Number of leading columns with text, aligned left; the others hold numbers.
        links: Target of the first cell of each row, relative to the report's folder; "" for none.
        collapsed: A reader opens it by its caption; the numbers of a figure, for example.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    links: Sequence[str] = ()
    collapsed: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure.

    Args:
        name: Stem of its files, unique within the report.
        caption: What it shows and how to read it.
        drawing: The figure with its numbers and its text alternative.
    """

    name: str
    caption: str
    drawing: Drawing


@dataclass(frozen=True)
class View:
    """An image as a JPEG, with a text alternative."""

    jpeg: bytes
    alternative: str


@dataclass(frozen=True)
class Picture:
    """An image of the data, in one or more views side by side.

    Args:
        views: At least one.
        lines: The text below it.
        classes: The classes that it can be filtered by.
    """

    views: Sequence[View]
    lines: Sequence[str]
    classes: Sequence[str] = ()


@dataclass(frozen=True)
class Scale:
    """The colour scale of maps, from left to right: a bar as a JPEG, and what its ends mean."""

    jpeg: bytes
    low: str
    high: str


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side; with `filtered` the reader can select a class; `scale` is that of their maps, if any."""

    caption: str
    pictures: Sequence[Picture]
    filtered: bool = False
    scale: Scale | None = None


@dataclass(frozen=True)
class Collapsible:
    """A long preformatted text that is collapsed by default."""

    title: str
    text: str


Block = Text | Listing | Note | Table | Chart | Gallery | Collapsible


@dataclass(frozen=True)
class Section:
    """A section of the report; `name` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report.

    Args:
        title: Title of the report.
        subtitle: One line on what it is about.
        remark: One line on when it was made and what it is not for.
        sections: In their order.
    """

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=tuple)
    remark: str = ""

    def charts(self) -> list[Chart]:
        """Return all figures in their order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Chart)]
