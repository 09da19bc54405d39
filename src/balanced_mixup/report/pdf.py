"""A report as a PDF, to be printed or filed, laid out by ReportLab."""

from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, TableStyle
from reportlab.platypus import Table as Grid

from balanced_mixup.report.document import Block, Chart, Document, Folded, Gallery, Listing, Note, Picture, Section, Table, Text
from balanced_mixup.report.figures.drawing import house_style

_MARGIN = 18 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_DPI = 200
_COLUMNS = 4  # of a gallery
_GREY = colors.HexColor("#57606a")
_LINE = colors.HexColor("#d0d7de")
_MOST_LINES = 400  # of a folded text


def to_pdf(report: Document) -> bytes:
    """Return the report as a PDF of A4 pages with bookmarks."""
    _fonts()
    buffer = BytesIO()
    template = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=report.title,
        author="balanced-mixup",
        invariant=True,  # the same report gives the same bytes: no date
    )
    story: list[Flowable] = [Paragraph(escape(report.title), _TITLE), Paragraph(escape(report.subtitle), _QUIET)]
    for section in report.sections:
        story += _section(section)
    template.build(story, onFirstPage=_number, onLaterPages=_number)
    return buffer.getvalue()


@cache
def _fonts() -> None:
    """Register the fonts that come with matplotlib, which know more letters than those of PDF itself."""
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    for name, file in (("Text", "DejaVuSans.ttf"), ("Bold", "DejaVuSans-Bold.ttf"), ("Mono", "DejaVuSansMono.ttf")):
        pdfmetrics.registerFont(TTFont(name, folder / file))


# Long names without a space are broken anywhere.
_PARAGRAPH = ParagraphStyle("paragraph", fontName="Text", fontSize=9, leading=12.5, spaceAfter=5, splitLongWords=1)
_TITLE = ParagraphStyle("title", _PARAGRAPH, fontName="Bold", fontSize=17, leading=23)
_HEADING = ParagraphStyle("heading", _PARAGRAPH, fontName="Bold", fontSize=12, leading=16, spaceBefore=14)
_ITEM = ParagraphStyle("item", _PARAGRAPH, leftIndent=10, bulletIndent=0, spaceAfter=2)
_NOTE = ParagraphStyle("note", _PARAGRAPH, backColor=colors.HexColor("#fff4d6"), borderPadding=4, spaceBefore=4, spaceAfter=9)
_QUIET = ParagraphStyle("quiet", _PARAGRAPH, fontSize=8, leading=11, textColor=_GREY)
_CELL = ParagraphStyle("cell", _PARAGRAPH, fontSize=7.5, leading=10, spaceAfter=0)
_NUMBER = ParagraphStyle("number", _CELL, alignment=TA_RIGHT)
_SMALL = ParagraphStyle("small", _CELL, fontSize=6.5, leading=8.5)
_CODE = ParagraphStyle("code", _SMALL, fontName="Mono")


class _Bookmark(Flowable):
    """An entry of the outline, where it stands."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.section = section

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return 0, 0

    def draw(self) -> None:
        self.canv.bookmarkPage(self.section.name)
        self.canv.addOutlineEntry(self.section.title, self.section.name, 0)


def _number(canvas: Canvas, template: SimpleDocTemplate) -> None:
    canvas.setFont("Text", 7)
    canvas.setFillColor(_GREY)
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, str(template.page))


def _section(section: Section) -> list[Flowable]:
    blocks = [flowable for block in section.blocks for flowable in _flowables(block)]
    head = [_Bookmark(section), Paragraph(escape(section.title), _HEADING)]
    return [KeepTogether([*head, *blocks[:1]]), *blocks[1:]]


def _flowables(block: Block) -> Iterator[Flowable]:
    match block:
        case Text(text):
            yield Paragraph(escape(text), _PARAGRAPH)
        case Note(text):
            yield Paragraph(escape(text), _NOTE)
        case Listing(items):
            for item in items:
                yield Paragraph(escape(item), _ITEM, bulletText="•")
        case Folded(title, text):
            yield Paragraph(escape(title), _QUIET)
            lines = text.splitlines()
            cut = (
                [*lines[:_MOST_LINES], f"... and {len(lines) - _MOST_LINES:,} more lines"]
                if len(lines) > _MOST_LINES
                else lines
            )
            for line in cut:
                yield Paragraph(escape(line).replace(" ", "\u00a0") or "\u00a0", _CODE)
        case Chart():
            yield KeepTogether([_chart(block), Paragraph(escape(block.caption), _QUIET)])
        case Table():
            yield from _table(block)
        case Gallery():
            yield Paragraph(escape(block.caption), _QUIET)
            if block.pictures:
                yield _gallery(block)
    yield Spacer(0, 2 * mm)


def _chart(chart: Chart) -> Image:
    figure = chart.drawing.figure
    width, height = (inches * 72 for inches in figure.get_size_inches())
    scale = min(1.0, _WIDTH / width, (A4[1] - 2 * _MARGIN - 60) / height)
    buffer = BytesIO()
    with house_style():
        figure.savefig(buffer, format="png", dpi=_DPI)
    return Image(buffer, width * scale, height * scale, hAlign="LEFT")


def _table(table: Table) -> Iterator[Flowable]:
    yield Paragraph(escape(table.caption), _QUIET)
    rows = [
        [Paragraph(escape(cell), _CELL if column < table.words else _NUMBER) for column, cell in enumerate(row)]
        for row in [table.header, *table.rows]
    ]
    rest = max(1, len(table.header) - table.words)
    words = min(45 * mm, (_WIDTH - rest * 16 * mm) / table.words) if table.words else 0
    number = min(28 * mm, (_WIDTH - table.words * words) / rest)
    widths = [words if column < table.words else number for column in range(len(table.header))]
    lines: list[tuple[str, tuple[int, int], tuple[int, int], *tuple[Any, ...]]] = [
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, _GREY),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, _LINE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ]
    yield Grid(rows, widths, style=TableStyle(lines), repeatRows=1, hAlign="LEFT")


def _gallery(gallery: Gallery) -> Grid:
    width = _WIDTH / _COLUMNS
    cells: list[object] = [_cell(picture, width - 3 * mm) for picture in gallery.pictures]
    cells += [""] * (-len(cells) % _COLUMNS)
    rows = [cells[start : start + _COLUMNS] for start in range(0, len(cells), _COLUMNS)]
    return Grid(rows, [width] * _COLUMNS, style=[("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])


def _cell(picture: Picture, width: float) -> list[Flowable]:
    side = width / max(2, len(picture.views))
    images = [Image(BytesIO(view.jpeg), side, side) for view in picture.views]
    strip = Grid(
        [images], [side] * len(images), style=[("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 0)]
    )
    strip.hAlign = "LEFT"
    return [strip, *(Paragraph(escape(line), _SMALL) for line in picture.lines)]
