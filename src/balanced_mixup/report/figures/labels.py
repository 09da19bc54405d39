"""What figures write: names that fit, signs that say what a colour and a marker mean, and which of many classes are shown.

A name may have 200 characters, line ends, emoji. In the picture it is one line, with an ellipsis where it is too long; the
numbers of the drawing have it whole. Everything here is in mm from the figure's top left corner.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import BLUE, FONT, GREEN, INK, ORANGE, POINT, PURPLE, SKY, VERMILLION, width_of

LINE = 3.8  # mm, from a line of text to the next
SIGN = 6.0  # mm, how wide a sign is
BOLD = 1.25  # how much wider than usual a bold line is at most
# No two of them differ by colour alone. Grey is left to what does not matter.
COLOURS = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, INK)
DASHES = ("-", "--", "-.", (0, (2, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (9, 1, 3, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_CAPITAL = 0.73 * FONT * POINT  # height of a capital letter
_WIDE = 1.4 * FONT * POINT  # width of an emoji


def shortened(text: str, width: float) -> str:
    """Return `text` as one line of at most `width` mm, with an ellipsis for what is left out.

    That is before the last third: names that begin alike often end differently, as "grade-2" and "grade-3" do.
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if extent(line) <= width:
        return line
    room = width - _advance("…")
    end = line[len(line) - _fitting(line[::-1], room / 3) :]
    return line[: _fitting(line, room - extent(end))].rstrip() + "…" + end.lstrip()


def _fitting(line: str, width: float) -> int:
    """Return how many of the first letters of a line have room."""
    return int(np.searchsorted(np.cumsum([_advance(letter) for letter in line]), width, side="right"))


def wrapped(sentences: Sequence[str], width: float) -> list[str]:
    """Return sentences as lines of at most `width` mm, each beginning a line of its own."""
    lines: list[str] = []
    for sentence in sentences:
        line = ""
        for word in sentence.split():
            if line and extent(f"{line} {word}") > width:
                lines.append(line)
                line = ""
            line = f"{line} {word}" if line else word
        lines.append(line)
    return lines


def extent(line: str) -> float:
    """Return how wide a line of text is in mm, room for emoji included."""
    return sum(map(_advance, line))


@cache
def _advance(letter: str) -> float:
    """Return how far a letter moves the next one in mm; for an emoji at most, whatever font draws it."""
    if unicodedata.east_asian_width(letter) in "WF":
        return _WIDE
    return width_of(f"M{letter}M") - width_of("MM")


def column_of(names: Sequence[str], widest: float) -> tuple[list[str], float]:
    """Return the names as lines of at most `widest` mm, and how wide the widest of them is."""
    lines = [shortened(name, widest) for name in names]
    return lines, max(map(extent, lines), default=0.0)


def put(
    figure: Figure, left: float, middle: float, text: str, *, align: Literal["left", "center", "right"] = "left", **style: Any
) -> None:
    """Write a line of text at `left`, its capital letters centred on `middle`."""
    across, down = figure.get_size_inches() * 25.4
    figure.text(left / across, 1 - (middle + _CAPITAL / 2) / down, text, va="baseline", ha=align, **style)


def put_lines(figure: Figure, left: float, top: float, lines: Sequence[str]) -> None:
    """Write lines of text below each other."""
    for row, line in enumerate(lines):
        put(figure, left, top + (row + 0.5) * LINE, line)


def sign(figure: Figure, left: float, middle: float, *, width: float = SIGN, **style: Any) -> None:
    """Draw a piece of a line, with its marker, as it is in a panel."""
    across, down = figure.get_size_inches() * 25.4
    height = 1 - middle / down
    ends = [left + width / 2] if style.get("linestyle") == "none" else [left, left + width / 2, left + width]
    figure.add_artist(Line2D([x / across for x in ends], [height] * len(ends), markevery=[len(ends) // 2], **style))


def key_lines(texts: Sequence[str], width: float) -> list[list[int]]:
    """Return which entries of a key of that width stand on each of its lines."""
    lines: list[list[int]] = []
    used = width
    for index, text in enumerate(texts):
        needed = SIGN + extent(text) + 5
        if used + needed > width:
            lines.append([])
            used = 0.0
        lines[-1].append(index)
        used += needed
    return lines


def key(figure: Figure, left: float, top: float, width: float, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Draw what signs mean, as many to a line as have room; `key_lines` tells how many lines there are.

    Args:
        figure: Where.
        left, top, width: Of the key.
        entries: Text and style of each sign.
    """
    for row, line in enumerate(key_lines([text for text, _ in entries], width)):
        x = left
        for text, style in (entries[index] for index in line):
            sign(figure, x, top + (row + 0.5) * LINE, **style)
            put(figure, x + SIGN + 1, top + (row + 0.5) * LINE, text)
            x += SIGN + extent(text) + 5


def rarest_and_largest(sizes: npt.NDArray[Any], rarest: int, largest: int) -> npt.NDArray[np.int64]:
    """Return the classes that are shown, the rarest first: all, or those many rarest and those many largest.

    Args:
        sizes: (K,).
        rarest, largest: How many where there are more than both together.
    """
    order = np.argsort(sizes, kind="stable")
    if len(order) <= rarest + largest:
        return order
    return np.concatenate([order[:rarest], order[len(order) - largest :]])


def require_names(classes: Sequence[str], count: int, what: str) -> None:
    """Raise a `UsageError` unless there is a class, and a name for each of `count`."""
    if not count or len(classes) != count:
        raise UsageError(f"Expected the names of {count} classes, as many as {what}, at least one, but got {len(classes)}.")


def require_columns(table: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    """Raise a `UsageError` unless a table has those columns."""
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise UsageError(f"Expected {what} with the columns {', '.join(wanted)}, but got none named {', '.join(missing)}.")


def rules(axes: Axes, along: Literal["x", "y"], *values: float) -> None:
    """Draw faint lines at those values, to read others by."""
    for value in values:
        (axes.axvline if along == "x" else axes.axhline)(value, color=INK, alpha=0.15, linewidth=0.4, zorder=0)


def part(axes: Axes, row: int) -> None:
    """Draw a dashed line above a row: what stands between is left out."""
    axes.axhline(row - 0.5, color=INK, linewidth=0.5, linestyle=(0, (4, 3)), clip_on=False)


def bare_rows(axes: Axes, rows: int) -> None:
    """Make the vertical axis one of `rows` rows, from 0 at the top, without a line and ticks."""
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
