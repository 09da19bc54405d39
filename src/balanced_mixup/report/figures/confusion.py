"""The confusion matrix: what each class is taken for, in counts and in per cent of the class."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import (
    BLUE,
    COLUMN,
    GREY,
    INK,
    PAGE,
    VERMILLION,
    Drawing,
    canvas,
    house_style,
    open_panel,
    width_of,
    write,
)
from balanced_mixup.report.figures.labels import LINE, column_of, put, put_lines, require_names, wrapped

WHOLE = 12  # classes; of more the most confused ones are shown, and the others as one

_MARGIN, _NAME, _TALLEST = 2.0, 40.0, 30.0  # mm: around, widest name of a row, tallest name of a column
_ROW, _WIDEST, _GAP = 7.6, 17.0, 0.04  # mm: height of a cell, its greatest width; share of a cell that parts it from the next
_FAINTEST, _STRONGEST = 0.04, 0.6  # opacity of a cell with none and with all images of its class: text can be read on it


def confusion_matrix(table: npt.NDArray[np.integer], classes: Sequence[str], ordinal: bool) -> Drawing:
    """Draw how many images of each class (row) are taken for which (column), and what per cent of their class they are.

    Right answers are blue, mistakes vermillion, the stronger the larger their share of the row. Grades keep their order,
    other classes stand by size, the largest first. Of more than 12 classes the 11 with the most mistakes, made in them or
    towards them, are shown; the others are summed, and the figure says so.

    Args:
        table: (K, K), integers from 0: label by answer.
        classes: K names.
        ordinal: The classes are grades in their order.

    Returns:
        The figure, and a row for each cell: label, answer, count, share (of the row; NaN where it has no images), summed
        (the label or the answer is that of the summed classes).

    Raises:
        UsageError: The arguments are not as described.
    """
    table = np.asarray(table)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.dtype.kind not in "iu" or (table < 0).any():
        raise UsageError(f"Expected `table` to be integers (K, K) from 0, but got {table.dtype} of shape {table.shape}.")
    require_names(classes, len(table), "`table` has rows")
    cells, names, summed = _summed(table, classes, ordinal)
    numbers = _numbers(cells, names, summed)
    with house_style():
        return Drawing(_draw(cells, names, summed), numbers)


def _summed(
    table: npt.NDArray[np.integer], classes: Sequence[str], ordinal: bool
) -> tuple[npt.NDArray[np.integer], list[str], int]:
    """Return the cells that are shown, the names of their rows, and how many classes the last of them sums (0 for none)."""
    order = np.arange(len(table)) if ordinal else np.argsort(-table.sum(1), kind="stable")
    if len(order) <= WHOLE:
        return table[np.ix_(order, order)], [classes[k] for k in order], 0
    mistakes = table.sum(0) + table.sum(1) - 2 * table.diagonal()
    chosen = np.argsort(-mistakes, kind="stable")[: WHOLE - 1]
    place = np.full(len(table), WHOLE - 1)
    place[order[np.isin(order, chosen)]] = np.arange(WHOLE - 1)
    cells = np.zeros((WHOLE, WHOLE), table.dtype)
    np.add.at(cells, (place[:, None], place), table)
    rest = len(table) - WHOLE + 1
    return cells, [*(classes[k] for k in order if k in chosen), f"{rest} other classes"], rest


def _numbers(cells: npt.NDArray[np.integer], names: Sequence[str], summed: int) -> pd.DataFrame:
    size = len(names)
    shares = _shares(cells)
    last = np.arange(size) == size - 1 if summed else np.zeros(size, bool)
    return pd.DataFrame(
        {
            "label": np.repeat(np.array(names, object), size),
            "answer": np.tile(np.array(names, object), size),
            "count": cells.ravel(),
            "share": shares.ravel(),
            "summed": (last[:, None] | last).ravel(),
        }
    )


def _shares(cells: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return each cell as a share of its row, NaN where the row is empty."""
    totals = cells.sum(1, keepdims=True)
    return np.asarray(np.divide(cells, totals, out=np.full(cells.shape, np.nan), where=totals > 0))


def _draw(cells: npt.NDArray[np.integer], names: Sequence[str], summed: int) -> Figure:
    size = len(names)
    rows, left = column_of(names, _NAME)
    totals = [f"{total:,}" for total in cells.sum(1)]
    left = _MARGIN + max(left, 10) + 3 + max(width_of("images"), *map(width_of, totals)) + 2
    page = COLUMN if size <= 4 else PAGE
    width = min(_WIDEST, (page - _MARGIN - left) / size)
    columns, tallest = column_of(names, width - 1)
    upright = all(column == row for column, row in zip(columns, rows, strict=True))
    if not upright:
        columns, tallest = column_of(names, _TALLEST)
    top = 2 + LINE + (LINE if upright else tallest + 2)
    notes = wrapped(_notes(summed), page - 2 * _MARGIN)
    figure = canvas(page, top + size * _ROW + 2 + len(notes) * LINE + _MARGIN)
    write(figure, left, 1, "answer", bold=True)
    put(figure, _MARGIN, top - LINE / 2, "label", weight="bold")
    put(figure, left - 2, top - LINE / 2, "images", align="right")
    for index in range(size):
        middle = top + (index + 0.5) * _ROW
        put(figure, _MARGIN, middle, rows[index])
        put(figure, left - 2, middle, totals[index], align="right")
    axes = open_panel(figure, left, top, size * width, size * _ROW)
    _cells(axes, cells, width, summed)
    _heads(axes, columns, upright)
    put_lines(figure, _MARGIN, top + size * _ROW + 2, notes)
    return figure


def _notes(summed: int) -> list[str]:
    notes = ["Each cell: images, and per cent of the row. Blue: right. Vermillion, off the diagonal: mistakes."]
    if summed:
        notes.append(
            f"Shown: the {WHOLE - 1} classes with the most mistakes; the other {summed} are summed. "
            "Grey: one of those taken for one of those, right or wrong."
        )
    return notes


def _cells(axes: Axes, cells: npt.NDArray[np.integer], width: float, summed: int) -> None:
    """Fill the cells, and write count and per cent into each that is not empty."""
    size = len(cells)
    shares = _shares(cells)
    axes.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for row, column in np.ndindex(cells.shape):
        share, count = float(np.nan_to_num(shares[row, column])), int(cells[row, column])
        colour = BLUE if row == column else VERMILLION
        if summed and row == column == size - 1:
            colour = GREY
        alpha = _FAINTEST + (_STRONGEST - _FAINTEST) * share
        corner, side = (column + _GAP, row + _GAP), 1 - 2 * _GAP
        axes.add_patch(Rectangle(corner, side, side, facecolor=colour, alpha=alpha, linewidth=0))
        if count:
            axes.text(column + 0.5, row + 0.48, _count(count, width), ha="center", va="bottom")
            axes.text(column + 0.5, row + 0.91, _per_cent(share), ha="center", va="bottom")
    axes.plot([0, size], [0, 0], color=INK, linewidth=0.5, clip_on=False)


def _count(count: int, width: float) -> str:
    """Return a count, in thousands or millions where it is wider than its cell."""
    text = f"{count:,}"
    if width_of(text) <= width - 1.6:
        return text
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}k"


def _per_cent(share: float) -> str:
    return "<1%" if share < 0.005 else ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _heads(axes: Axes, columns: Sequence[str], upright: bool) -> None:
    """Write the names of the columns, turned where they are too wide."""
    for index, column in enumerate(columns):
        place, offset = (index + 0.5, 0), (0.0, 3.0)
        if upright:
            axes.annotate(column, place, offset, textcoords="offset points", ha="center", va="baseline")
        else:
            axes.annotate(
                column,
                place,
                (2.4, 3.0),
                textcoords="offset points",
                ha="left",
                va="baseline",
                rotation=90,
                rotation_mode="anchor",
            )
