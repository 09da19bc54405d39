"""How methods compare: a forest of paired differences to one of them, and their ranks over data sets."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
from balanced_mixup.report.figures.labels import (
    BOLD,
    COLOURS,
    LINE,
    MARKERS,
    bare_rows,
    column_of,
    key,
    key_lines,
    put,
    put_lines,
    require_columns,
    rules,
    shortened,
)

LEVEL = 0.05

_COLUMNS = ("group", "label", "value", "low", "high", "p")
_BETTER: dict[str, Any] = {"color": BLUE, "marker": "D", "markersize": 4.0}
_WORSE: dict[str, Any] = {"color": VERMILLION, "marker": "X", "markersize": 5.0}
_UNSURE: dict[str, Any] = {"color": GREY, "marker": "o", "markersize": 4.0, "markerfacecolor": "none"}
_SIGNS = [
    ("better", _BETTER | {"linewidth": 1.2}),
    ("worse", _WORSE | {"linewidth": 1.2}),
    (f"cannot be told apart (p at least {LEVEL:g}), or not tested", _UNSURE | {"linewidth": 1.2}),
]
_MARGIN, _NAME, _HEAD, _AXIS, _FARTHEST = 2.0, 42.0, 6.5, 10.0, 3.0  # mm; the last: in largest differences


def forest(rows: pd.DataFrame, baseline: str = "the baseline") -> Drawing:
    """Draw paired differences to a baseline with their intervals around a line at 0, right of which is better.

    A difference whose corrected p-value is under 0.05 (where there is none: whose interval leaves 0 out) is a filled diamond
    where it is better and a cross where it is worse; all others are hollow circles. An interval that goes on beyond the panel
    ends in an arrow.

    Args:
        rows: group (data set or metric, a heading), label (method), value (mean difference, above 0 where the method is
            better), low and high (its 95 % interval), p (corrected). Rows of a group stand together; NaN where undefined.
        baseline: Its name.

    Returns:
        The figure, and the rows with the column verdict: "better", "worse", "not told apart" or "undefined".

    Raises:
        UsageError: There are no rows, or a column is missing.
    """
    require_columns(rows, _COLUMNS, "differences")
    if rows.empty:
        raise UsageError("Expected one difference or more, but got none.")
    numbers = rows[list(_COLUMNS)].reset_index(drop=True)
    numbers["verdict"] = [_verdict(*row) for row in numbers[["value", "low", "high", "p"]].to_numpy(float)]
    groups = list(dict.fromkeys(numbers["group"]))
    numbers = pd.concat([numbers[numbers["group"] == group] for group in groups], ignore_index=True)
    with house_style():
        return Drawing(_draw_forest(numbers, groups, baseline), numbers)


def _verdict(value: float, low: float, high: float, p: float) -> str:
    if np.isnan(value):
        return "undefined"
    told_apart = p < LEVEL if not np.isnan(p) else low > 0 or high < 0
    return ("better" if value > 0 else "worse") if told_apart else "not told apart"


def _draw_forest(numbers: pd.DataFrame, groups: list[str], baseline: str) -> Figure:
    names, widest = column_of(numbers["label"].tolist(), _NAME)
    values = [_value(*row) for row in numbers[["value", "low", "high"]].to_numpy(float)]
    chances = [_p(p) for p in numbers["p"]]
    left = _MARGIN + 3 + max(widest, 20) + 3
    p_left = PAGE - _MARGIN - max(width_of("corrected p"), *map(width_of, chances))
    value_left = p_left - 4 - max(width_of("difference (95% interval)"), *map(width_of, values))
    # A line for the name of each group, and half a line between groups.
    places: list[float] = []
    headings: list[tuple[float, str]] = []
    line = 0.0
    for group in groups:
        headings.append((line, shortened(group, (PAGE - 2 * _MARGIN) / BOLD)))
        count = int((numbers["group"] == group).sum())
        places += [line + 1 + row for row in range(count)]
        line += 1.5 + count
    lines = line - 0.5
    keyed = key_lines([text for text, _ in _SIGNS], PAGE - 2 * _MARGIN)
    figure = canvas(PAGE, _HEAD + lines * LINE + _AXIS + len(keyed) * LINE + _MARGIN)
    write(figure, value_left, 2, "difference (95% interval)")
    write(figure, p_left, 2, "corrected p")
    axes = open_panel(figure, left, _HEAD, value_left - 5 - left, lines * LINE)
    bare_rows(axes, 1)
    axes.set_ylim(lines - 0.5, -0.5)
    limits = _limits(numbers)
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel(shortened(f"difference to {baseline}", PAGE / 2) + " (right: better)")
    for place, heading in headings:
        put(figure, _MARGIN, _HEAD + (place + 0.5) * LINE, heading, weight="bold")
    for row, place in enumerate(places):
        middle = _HEAD + (place + 0.5) * LINE
        put(figure, _MARGIN + 3, middle, names[row])
        put(figure, value_left, middle, values[row])
        put(figure, p_left, middle, chances[row])
        _difference(axes, place, numbers.iloc[row], limits)
    key(figure, _MARGIN, _HEAD + lines * LINE + _AXIS, PAGE - 2 * _MARGIN, _SIGNS)
    return figure


def _limits(numbers: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis: 0 and all intervals, but not much beyond the largest differences."""
    ends = numbers[["value", "low", "high"]].to_numpy(float)
    ends = ends[np.isfinite(ends)]
    if not len(ends) or not ends.any():
        return -1.0, 1.0
    reach = 1.1 * max(float(np.nanmax(np.abs(numbers["value"].to_numpy(float)), initial=0.0)) * _FARTHEST, 1e-6)
    low, high = max(min(ends.min(), 0.0), -reach), min(max(ends.max(), 0.0), reach)
    room = 0.06 * (high - low)
    return low - room, high + room


def _difference(axes: Axes, place: float, row: "pd.Series[float]", limits: tuple[float, float]) -> None:
    look = {"better": _BETTER, "worse": _WORSE, "not told apart": _UNSURE}.get(str(row["verdict"]))
    if look is None:
        return
    low, high = max(row["low"], limits[0]), min(row["high"], limits[1])
    if np.isfinite([row["low"], row["high"]]).all():
        gap = (limits[1] - limits[0]) / 60 if look is _UNSURE else 0.0
        # The line leaves a hollow circle empty.
        for start, end in ((low, row["value"] - gap), (row["value"] + gap, high)):
            if end > start:
                axes.plot([start, end], [place, place], color=look["color"], linewidth=1.2)
        for beyond, end, arrow in ((row["low"] < limits[0], low, "<"), (row["high"] > limits[1], high, ">")):
            if beyond:
                axes.plot(end, place, marker=arrow, color=look["color"], markersize=3.5, clip_on=False)
    axes.plot(row["value"], place, **look)


def _value(value: float, low: float, high: float) -> str:
    """Return a difference and its interval as text, with a true minus sign."""
    if np.isnan(value):
        return "undefined"
    interval = f" ({low:+.3f} to {high:+.3f})" if not np.isnan([low, high]).any() else ""
    return f"{value:+.3f}{interval}".replace("-", "−")


def _p(p: float) -> str:
    return "" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def ranks(table: pd.DataFrame) -> Drawing:
    """Draw the rank of each method on each data set and the mean of these, the best method on top.

    A method without a rank on some data set has no mean, and the figure says so. Of more than seven data sets none has a sign
    of its own.

    Args:
        table: (M, D), a row for each method and a column for each data set, named: ranks from 1, the best; NaN where it has
            none.

    Returns:
        The figure, and a row for each method and data set: method, data, rank, mean_rank.

    Raises:
        UsageError: The table is empty.
    """
    if table.empty:
        raise UsageError("Expected ranks of one method and data set or more, but got none.")
    means = table.astype(float).mean(axis=1, skipna=False)
    order = means.reset_index(drop=True).sort_values(kind="stable", na_position="last").index
    table, means = table.astype(float).iloc[order], means.iloc[order]
    numbers = pd.DataFrame(
        {
            "method": np.repeat(table.index.to_numpy(object), table.shape[1]),
            "data": np.tile(table.columns.to_numpy(object), len(table)),
            "rank": table.to_numpy().ravel(),
            "mean_rank": np.repeat(means.to_numpy(), table.shape[1]),
        }
    )
    with house_style():
        return Drawing(_draw_ranks(table, means.to_numpy()), numbers)


def _draw_ranks(table: pd.DataFrame, means: npt.NDArray[np.float64]) -> Figure:
    count = table.shape[1]
    names, widest = column_of([str(name) for name in table.index], 40)
    texts = [
        f"{known} of {count}" if np.isnan(mean) else f"{mean:.1f}"
        for mean, known in zip(means, table.notna().sum(axis=1), strict=True)
    ]
    left, right = _MARGIN + max(widest, 12) + 5, COLUMN - _MARGIN - max(map(width_of, ["mean", *texts]))
    own = count <= len(COLOURS)
    looks: list[dict[str, Any]] = [
        {"color": colour, "marker": marker} for colour, marker in zip(COLOURS, MARKERS, strict=True)
    ][:count]
    looks = looks if own else [{"color": GREY, "marker": "o"}] * count
    data = [shortened(str(name), COLUMN - 14) for name in table.columns]
    entries = [(name, look | {"linestyle": "none", "markersize": 4}) for name, look in zip(data, looks, strict=True)]
    entries = entries if own else [(f"each of {count} data sets", entries[0][1])]
    entries.append(("mean", {"color": INK, "marker": "|", "linestyle": "none", "markersize": 8, "markeredgewidth": 1.6}))
    row_height = max(LINE + 1, 1.2 * min(count, 6))
    keyed = key_lines([text for text, _ in entries], COLUMN - 2 * _MARGIN)
    notes = ["Without a rank on each data set there is no mean."] * bool(np.isnan(means).any())
    bottom = _HEAD + len(table) * row_height + _AXIS
    figure = canvas(COLUMN, bottom + (len(keyed) + len(notes)) * LINE + _MARGIN)
    put(figure, COLUMN - _MARGIN, 4, "mean", align="right")
    axes = open_panel(figure, left, _HEAD, right - 4 - left, len(table) * row_height)
    bare_rows(axes, len(table))
    worst = max(len(table), float(np.nanmax(table.to_numpy(), initial=1.0)))
    axes.set_xlim(0.7, worst + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(min(7, int(worst)), integer=True))
    axes.set_xlabel("rank (1: best)")
    rules(axes, "x", *range(1, int(worst) + 1) if worst <= 20 else ())
    # Data sets stand below each other in a row, so that equal ranks do not hide each other.
    offsets = (np.arange(count) - (count - 1) / 2) * min(0.16, 0.7 / count)
    for row, (mean, text) in enumerate(zip(means, texts, strict=True)):
        middle = _HEAD + (row + 0.5) * row_height
        put(figure, _MARGIN, middle, names[row])
        put(figure, COLUMN - _MARGIN, middle, text, align="right")
        axes.plot([mean], [row], color=INK, marker="|", markersize=row_height * 2.3, markeredgewidth=1.6, clip_on=False)
        for look, rank, offset in zip(looks, table.iloc[row], offsets, strict=True):
            axes.plot([rank], [row + offset], **look, markersize=4, clip_on=False)
    key(figure, _MARGIN, bottom, COLUMN - 2 * _MARGIN, entries)
    put_lines(figure, _MARGIN, bottom + len(keyed) * LINE, notes)
    return figure
