"""How every figure looks and is written: one style, matplotlib's own layout, the same bytes for the same data.

Notable decisions
- A journal's column is 85 mm wide, its page 170 mm. Figures are made at that size, so no text is under 7 pt in print.
- The background is transparent on a page, and all text is of one ink, which a page replaces by its own colour.
- Figures are matplotlib objects without pyplot; the caller's settings come back after each.
- Colours are those of Okabe and Ito (Color Universal Design, 2008), which colour-blind people can distinguish. No two signs
  differ by colour alone.
"""

import logging
import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from balanced_mixup.files import write_atomically
from balanced_mixup.report.figures import fonts
from balanced_mixup.table_files import csv_text

COLUMN, PAGE = 85.0, 170.0  # mm
LINE = 3.8  # mm, from a line of text to the next
LETTER = 1.5  # mm, how wide a letter is on average

BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)  # their yellow is hard to see on white
GREY, INK = "#999999", "#222222"
COLOURS = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, INK)  # grey is left to what does not matter
DASHES = ("-", "--", "-.", (0, (2, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (9, 1, 3, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_FINDFONT = logging.getLogger("matplotlib.font_manager")
_STYLE = {
    "font.family": fonts.OWN,
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize"), 7.0),
    **dict.fromkeys(("legend.fontsize", "legend.title_fontsize", "figure.titlesize", "figure.labelsize"), 7.0),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.5),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.0),
    "text.parse_math": False,  # no math in the names of classes
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # keep text as text
    "svg.hashsalt": "balanced-mixup",  # reproducible ids
}


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers that it shows, and a text alternative."""

    figure: Figure
    numbers: pd.DataFrame
    description: str = ""

    def __post_init__(self) -> None:
        """Choose the fonts, and compute the layout once, so that all output formats share it."""
        fonts.use_system_fonts(self.figure)
        if (layout := self.figure.get_layout_engine()) is not None and self.figure.get_constrained_layout():
            layout.execute(self.figure)
            self.figure.set_layout_engine("none")


@contextmanager
def figure_style() -> Iterator[None]:
    """Make a context (or a decorator) in which figures are made and written; the caller's settings are restored afterwards."""
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # The name of a class may have an emoji: the browser has a font for it, and a picture of pixels shows a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        level = _FINDFONT.level
        _FINDFONT.setLevel(logging.ERROR)  # a font of the system may have no bold letters
        try:
            yield
        finally:
            _FINDFONT.setLevel(level)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in mm, laid out by matplotlib."""
    return Figure(figsize=(width / 25.4, height / 25.4), layout="constrained", facecolor="white")


def save(drawing: Drawing, stem: Path) -> tuple[Path, Path, Path]:
    """Write `stem`.svg, `stem`.png (300 dpi) and `stem`.csv (the numbers), each atomically, and return their paths.

    The same data give the same bytes on the same machine: no date and no version is written.
    """
    writers: dict[str, Callable[[Path], object]] = {
        "svg": lambda path: drawing.figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}),
        "png": lambda path: drawing.figure.savefig(path, format="png", metadata={"Software": None}),
        "csv": lambda path: path.write_text(csv_text(drawing.numbers), encoding="utf-8"),
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    svg, png, csv = paths = tuple(stem.with_name(f"{stem.name}.{kind}") for kind in writers)
    with figure_style():
        for path, write in zip(paths, writers.values(), strict=True):
            write_atomically(path, write)
    return svg, png, csv


def to_svg(drawing: Drawing) -> str:
    """Return the figure as SVG with a transparent background, for a page of any colour."""
    buffer = StringIO()
    with figure_style():
        drawing.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def short_name(name: str, most: int = 30) -> str:
    """Return a name as one line of about `most` letters at most; what is left out is before its last third.

    Names that begin alike often end differently, as "grade-2" and "grade-3" do. The numbers of a drawing have names whole.
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    most = most // 2 if any(map(_is_wide, line)) else most
    if len(line) <= most:
        return line
    return line[: most - most // 3 - 1].rstrip() + "…" + line[-(most // 3) :].lstrip()


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def rarest_and_largest(sizes: npt.NDArray[Any], rarest: int, largest: int) -> npt.NDArray[np.int64]:
    """Return which of K classes are shown, the rarest first: all, or the given numbers of the rarest and largest."""
    order = np.argsort(sizes, kind="stable")
    return order if len(order) <= rarest + largest else np.concatenate([order[:rarest], order[len(order) - largest :]])


def selection_note(rarest: int, largest: int, count: int) -> list[str]:
    """Return the sentence about classes that `rarest_and_largest` leaves out, if it leaves out any."""
    if count <= rarest + largest:
        return []
    return [f"Shown: the {rarest} rarest and the {largest} largest of {count} classes, separated by a dashed line."]


def name_rows(axes: Axes, labels: Sequence[str], split: int | None = None) -> None:
    """Make the vertical axis one of labelled rows, from row 0 at the top; a dashed line above row `split` if given."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if split is not None and split < len(labels):
        axes.axhline(split - 0.5, color=INK, linewidth=0.5, linestyle=(0, (4, 3)))


def right_labels(axes: Axes, labels: Sequence[str]) -> None:
    """Write a text at the right of each row."""
    right = axes.secondary_yaxis("right")
    right.set_yticks(axes.get_yticks(), labels)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)


def grid_lines(axes: Axes, along: str) -> None:
    """Draw faint grid lines at the ticks of an axis."""
    axes.grid(axis="x" if along == "x" else "y", color=INK, alpha=0.15, linewidth=0.4)
    axes.set_axisbelow(True)


def handle(label: str, **look: Any) -> Line2D:
    """Return an entry of a legend."""
    return Line2D([], [], label=label, **look)


def legend_below(figure: Figure, entries: Sequence[Line2D], *notes: str) -> None:
    """Draw a legend below the panels, as many entries per line as fit, with explanatory notes above."""
    letters = int(figure.get_figwidth() * 25.4 / LETTER)
    columns = letters // (max((_letters(str(entry.get_label())) for entry in entries), default=0) + 6)
    _legend(figure, entries, "outside lower left", max(1, min(columns, len(entries))), letters, notes)


def legend_right(figure: Figure, entries: Sequence[Line2D], *notes: str) -> None:
    """Draw a legend at the right of the panels."""
    _legend(figure, entries, "outside right upper", 1, 48, notes)


_Place = Literal["outside lower left", "outside right upper"]


def _legend(figure: Figure, entries: Sequence[Line2D], place: _Place, columns: int, letters: int, notes: Sequence[str]) -> None:
    title = "\n".join(textwrap.fill(note, letters) for note in notes)
    legend = figure.legend(handles=list(entries), loc=place, ncols=columns, title=title or None)
    legend.set_alignment("left")


def _letters(text: str) -> int:
    return len(text) + sum(map(_is_wide, text))
