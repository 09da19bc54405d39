"""How every figure looks and is written: one style, sizes in millimetres, the same bytes for the same data.

Notable decisions
- A journal's column is 85 mm wide, its page 170 mm. Figures are made at that size, so no text is under 7 pt in print.
- Panels are placed in millimetres from the top left, so that bars are as thick in a panel of 2 classes as in one of 23.
- matplotlib's objects alone are used: no pyplot, no current figure. Its settings are ours while a figure is made or written
  and the caller's again afterwards.
- Colours are those of Okabe and Ito (Color Universal Design, 2008), which colour-blind people tell apart.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from balanced_mixup.files import write_atomically

COLUMN, PAGE = 85.0, 170.0  # mm
FONT = 7.0  # pt
POINT = 25.4 / 72  # mm

BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)  # their yellow is hard to see on white
GREY, INK = "#999999", "#222222"

_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in the name of a class is a dollar sign
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.4,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.minor.size": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "balanced-mixup",  # names inside of the file are the same each time
}


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers that it shows."""

    figure: Figure
    numbers: pd.DataFrame


@contextmanager
def house_style() -> Iterator[None]:
    """Make a context in which figures are made and written; the caller's settings come back after it."""
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # The name of a class may have an emoji: the browser has a font for it, and a picture of pixels shows a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save(drawing: Drawing, stem: Path) -> tuple[Path, Path, Path]:
    """Write `stem`.svg, `stem`.png (300 dpi) and `stem`.csv (the numbers), each atomically, and return their paths.

    The same data give the same bytes on the same machine: no date and no version is written.
    """

    def picture(kind: str, metadata: dict[str, str | None]) -> Callable[[Path], object]:
        return lambda path: drawing.figure.savefig(path, format=kind, metadata=metadata)

    writers: dict[str, Callable[[Path], object]] = {
        "svg": picture("svg", {"Date": None, "Creator": None}),
        "png": picture("png", {"Software": None}),
        "csv": lambda path: drawing.numbers.to_csv(path, index=False, lineterminator="\n"),
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in writers]
    with house_style():
        for path, write in zip(paths, writers.values(), strict=True):
            write_atomically(path, write)
    svg, png, csv = paths
    return svg, png, csv


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of that size in mm."""
    return Figure(figsize=(width / 25.4, height / 25.4))


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes of that size whose corner is `left`, `top` from the figure's top left corner; all in mm."""
    across, down = figure.get_size_inches() * 25.4
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def open_panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes as `panel` does, but without a ground, so that they can lie on a dark page."""
    axes = panel(figure, left, top, width, height)
    axes.set_facecolor("none")
    return axes


def write(figure: Figure, left: float, top: float, text: str, *, bold: bool = False) -> None:
    """Write a line of text whose top left corner is `left`, `top` (mm from the figure's top left corner)."""
    across, down = figure.get_size_inches() * 25.4
    weight = "bold" if bold else "normal"
    # Set on its baseline: "top" is that of the tallest letter, which differs from text to text.
    figure.text(left / across, 1 - (top + FONT * POINT) / down, text, va="baseline", weight=weight)


def width_of(text: str) -> float:
    """Return how wide a line of text is, in mm."""
    return float(TextPath((0, 0), text, size=FONT).get_extents().width) * POINT if text.strip() else 0.0
