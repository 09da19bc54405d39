"""A report as Markdown, with its figures and images as separate files."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from balanced_mixup.files import write_bytes
from balanced_mixup.report.document import (
    Block,
    Chart,
    Collapsible,
    Document,
    Gallery,
    Listing,
    Note,
    Picture,
    Scale,
    Table,
    Text,
)


def to_markdown(report: Document, figures: Path) -> str:
    """Return the report as Markdown; the images of its galleries are written to `figures`, like its charts."""
    lines = [f"# {_text(report.title)}", "", _text(report.subtitle), ""]
    if report.remark:
        lines += [_text(report.remark), ""]
    for section in report.sections:
        lines += [f"## {_text(section.title)}", ""]
        for number, block in enumerate(section.blocks, start=1):
            lines += [*_lines(block, figures, f"{section.name}-{number}"), ""]
    return "\n".join(lines)


def _lines(block: Block, figures: Path, name: str) -> list[str]:
    match block:
        case Text(text):
            return [_text(text)]
        case Note(text):
            return [f"> **Note.** {_text(text)}"]
        case Listing(items):
            return [f"- {_text(item)}" for item in items]
        case Collapsible(title, text):
            return [f"<details><summary>{_text(title)}</summary>", "", "<pre>", html.escape(text), "</pre>", "</details>"]
        case Chart():
            return [_image(block.drawing.description, figures.name, f"{block.name}.png"), "", _text(block.caption)]
        case Table():
            return _table(block)
        case Gallery():
            return _gallery(block, figures, name)


def _table(table: Table) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rows = [[_text(cell) for cell in row] for row in table.rows]
    if table.links:
        for row, link in zip(rows, table.links, strict=True):
            row[0] = f"[{row[0]}]({quote(link)})" if link else row[0]
    rule = ["---" if column < table.words else "---:" for column in range(len(table.header))]
    return [_text(table.caption), "", line([_text(cell) for cell in table.header]), line(rule), *map(line, rows)]


def _gallery(gallery: Gallery, figures: Path, name: str) -> list[str]:
    pictures = (_picture(picture, figures, f"{name}-{number}") for number, picture in enumerate(gallery.pictures, start=1))
    return [_text(gallery.caption), "", *_scale(gallery.scale, figures, name), *pictures]


def _scale(scale: Scale | None, figures: Path, name: str) -> list[str]:
    if scale is None:
        return []
    file = f"{name}-scale.jpg"
    write_bytes(figures / file, scale.jpeg)
    return [f"{_text(scale.low)} {_image('Colour scale of the maps', figures.name, file)} {_text(scale.high)}", ""]


def _picture(picture: Picture, figures: Path, name: str) -> str:
    images = []
    for number, view in enumerate(picture.views, start=1):
        file = f"{name}-{number}.jpg"
        write_bytes(figures / file, view.jpeg)
        images.append(_image(view.alternative, figures.name, file))
    return f"- {' '.join(images)} {'; '.join(map(_text, picture.lines))}"


def _image(alternative: str, folder: str, file: str) -> str:
    return f"![{_text(alternative)}]({quote(f'{folder}/{file}')})"


def _text(text: str) -> str:
    """Return a text on one line, escaped for Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|$&~])", r"\\\1", " ".join(text.split()))
