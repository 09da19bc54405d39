"""The share of each class in the data, and in what training sees."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import (
    BLUE,
    COLUMN,
    GREY,
    Drawing,
    canvas,
    house_style,
    open_panel,
    width_of,
)
from balanced_mixup.report.figures.labels import (
    LINE,
    bare_rows,
    column_of,
    key,
    part,
    put,
    put_lines,
    rarest_and_largest,
    require_names,
    wrapped,
)

Floats = npt.NDArray[np.float64]

RAREST, LARGEST = 15, 10  # of more classes than both together, those are shown

_MARGIN, _NAME, _ROW, _AXIS = 2.0, 30.0, 7.4, 10.0  # mm
_DATA, _SEEN = (
    {"color": GREY, "marker": "s", "linestyle": "none", "markersize": 5},
    {"color": BLUE, "marker": "s", "linestyle": "none", "markersize": 5},
)


def prior_bars(classes: Sequence[str], natural: Floats, effective: Floats) -> Drawing:
    """Draw for each class, the rarest first, its share of the data above its share of what training sees.

    Of more than 25 classes the 15 rarest and the 10 largest are shown, and the figure says so.

    Args:
        classes: K names.
        natural: (K,), share of each class in the training images; sums to 1.
        effective: (K,), share of each class in the targets that the sampling makes; sums to 1.

    Returns:
        The figure, and a row for each class that it shows: class, natural, effective, factor (infinite for a class that only
        the sampling has, NaN where there is none at all).

    Raises:
        UsageError: The arguments are not as described.
    """
    require_names(classes, len(natural), "`natural`")
    for name, values in (("natural", natural), ("effective", effective)):
        if np.shape(values) != (len(classes),) or not (np.min(values) >= 0 and abs(np.sum(values) - 1) < 1e-3):
            raise UsageError(
                f"Expected `{name}` to be {len(classes)} shares that sum to 1, but got {np.asarray(values).tolist()}."
            )
    shown = rarest_and_largest(natural, RAREST, LARGEST)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {"class": list(classes), "natural": natural, "effective": effective, "factor": effective / natural}
    numbers = pd.DataFrame(columns).iloc[shown].reset_index(drop=True)
    with house_style():
        return _draw(numbers, len(classes))


def _draw(numbers: pd.DataFrame, count: int) -> Drawing:
    names, widest = column_of(numbers["class"].tolist(), _NAME)
    left = _MARGIN + max(widest, 6) + 2
    rows = len(numbers)
    notes = [f"Shown: the {RAREST} rarest and the {LARGEST} largest of {count} classes, parted by a dashed line."]
    notes = wrapped(notes * (rows < count), COLUMN - 2 * _MARGIN)
    figure = canvas(COLUMN, _MARGIN + rows * _ROW + _AXIS + (2 + len(notes)) * LINE + _MARGIN)
    axes = open_panel(figure, left, _MARGIN, COLUMN - left - width_of("< 0.01%") - 3, rows * _ROW)
    bare_rows(axes, rows)
    axes.set_xlim(0, float(numbers[["natural", "effective"]].to_numpy().max()))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axes.set_xlabel("share of the images")
    places = np.arange(rows)
    for name, offset, look in (("natural", -0.2, _DATA), ("effective", 0.2, _SEEN)):
        axes.barh(places + offset, numbers[name], height=0.34, color=look["color"])
        for place, share in zip(places + offset, numbers[name], strict=True):
            axes.annotate(_share(share), (share, place), (2, 0), textcoords="offset points", va="center_baseline")
    if rows < count:
        part(axes, RAREST)
    for row, name in enumerate(names):
        put(figure, _MARGIN, _MARGIN + (row + 0.5) * _ROW, name)
    bottom = _MARGIN + rows * _ROW + _AXIS
    key(figure, _MARGIN, bottom, COLUMN - 45, [("above: in the data", _DATA), ("below: in what training sees", _SEEN)])
    put_lines(figure, _MARGIN, bottom + 2 * LINE, notes)
    return Drawing(figure, numbers)


def _share(share: float) -> str:
    if share == 0 or share >= 0.0005:
        return f"{share:.1%}"
    return f"{share:.2%}" if share >= 0.00005 else "< 0.01%"
