"""The confusion matrix: which class is predicted for images of each class, in counts and in per cent of the class."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.patches import Rectangle

from balanced_mixup.report.figures import style
from balanced_mixup.words import counted, display_name

Counts = npt.NDArray[np.integer]

WHOLE = 12  # classes; of more the most confused ones are shown, and the others as one

_FAINTEST, _STRONGEST = 0.04, 0.6  # opacity of a cell with none and with all images of its class; keeps text readable


@style.figure_style()
def confusion_matrix(table: Counts, classes: Sequence[str], ordinal: bool) -> style.Drawing:
    """Draw how many images of each class (row) are predicted as which (column), and the percentage of their class.

    Correct predictions are blue, errors vermillion, the stronger the larger their proportion of the row. Ordinal classes keep
    their order, others are sorted by size, the largest first. Of more than 12 classes the 11 with the most errors, as label or
    as prediction, are shown; the others are summed, and the figure says so.

    Args:
        table: (K, K), integers from 0: label by predicted class.
        classes: K names.
        ordinal: The classes are in their order.

    Returns:
        The figure, and a row for each cell: label, prediction, count, share (of the row; NaN where it has no images), summed
        (the label or the prediction is that of the summed classes).
    """
    cells, names, summed = _summed(table, classes, ordinal)
    size, totals = len(names), cells.sum(1)
    shares = np.divide(cells, totals[:, None], out=np.full(cells.shape, np.nan), where=totals[:, None] > 0)
    last = np.arange(size) == size - 1 if summed else np.zeros(size, bool)
    numbers = pd.DataFrame(
        {
            "label": np.repeat(np.array(names, object), size),
            "prediction": np.tile(np.array(names, object), size),
            "count": cells.ravel(),
            "share": shares.ravel(),
            "summed": (last[:, None] | last).ravel(),
        }
    )
    notes = ["Cells: images, and per cent of the row. Blue: correct. Vermillion, off the diagonal: errors."]
    if summed:
        notes.append(
            f"Shown: the {WHOLE - 1} classes with the most errors; the other {summed} are summed. Grey: images of those "
            "predicted as one of those, correctly or not."
        )
    longest = max(len(style.short_name(name, 24)) for name in names)
    width = style.COLUMN if size <= 4 and longest <= 10 else style.PAGE
    turned = 1.6 * longest > (width - 12 - 1.6 * (longest + 8)) / size  # mm: a name, a cell
    figure = style.new_figure(width, 20 + 7.6 * size + (1.6 * longest if turned else 0) + 4 * len(notes))
    axes = figure.subplots()
    style.name_rows(axes, [f"{style.short_name(name, 24)} ({total:,})" for name, total in zip(names, totals, strict=True)])
    axes.set(xlim=(-0.5, size - 0.5), ylabel="label (images)")
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.set_xticks(range(size), [style.short_name(name, 24) for name in names], rotation=90 if turned else 0)
    axes.xaxis.set_tick_params(length=0)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("predicted class", loc="left")
    for row, column in np.ndindex(cells.shape):
        colour = style.GREY if summed and row == column == size - 1 else style.BLUE if row == column else style.VERMILLION
        share, count = float(np.nan_to_num(shares[row, column])), int(cells[row, column])
        alpha = _FAINTEST + (_STRONGEST - _FAINTEST) * share
        corner = column - 0.46, row - 0.46
        axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=colour, alpha=alpha, linewidth=0))
        if count:
            axes.text(column, row, f"{_short_count(count)}\n{_per_cent(share)}", ha="center", va="center", linespacing=1.15)
    style.legend_below(figure, [], *notes)
    return style.Drawing(figure, numbers, _description(table, classes))


def _summed(table: Counts, classes: Sequence[str], ordinal: bool) -> tuple[Counts, list[str], int]:
    """Return the cells that are shown, the names of their rows, and how many classes the last of them sums (0 for none)."""
    order = np.arange(len(table)) if ordinal else np.argsort(-table.sum(1), kind="stable")
    if len(order) <= WHOLE:
        return table[np.ix_(order, order)], [classes[k] for k in order], 0
    errors = table.sum(0) + table.sum(1) - 2 * table.diagonal()
    chosen = np.argsort(-errors, kind="stable")[: WHOLE - 1]
    place = np.full(len(table), WHOLE - 1)
    place[order[np.isin(order, chosen)]] = np.arange(WHOLE - 1)
    cells = np.zeros((WHOLE, WHOLE), table.dtype)
    np.add.at(cells, (place[:, None], place), table)
    rest = len(table) - WHOLE + 1
    return cells, [*(classes[k] for k in order if k in chosen), f"{rest} other classes"], rest


def _description(table: Counts, classes: Sequence[str]) -> str:
    text = f"{int(np.trace(table)):,} of {counted(int(table.sum()), 'prediction')} are correct."
    errors = np.where(np.eye(len(table), dtype=bool), 0, table)
    label, predicted = map(int, np.unravel_index(errors.argmax(), errors.shape))
    if most := int(errors[label, predicted]):
        is_a, as_a = display_name(classes[label]), display_name(classes[predicted])
        text += f" The most frequent confusion is {is_a} predicted as {as_a} ({counted(most, 'image')})."
    return text


def _short_count(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}k" if count >= 1e4 else f"{count:,}"


def _per_cent(share: float) -> str:
    return "<1%" if share < 0.005 else ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
