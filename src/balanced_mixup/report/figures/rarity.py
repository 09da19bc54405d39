"""What a method makes of rare classes: recall against the number of training images."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import (
    BLUE,
    COLUMN,
    GREY,
    PAGE,
    Drawing,
    canvas,
    house_style,
    open_panel,
)
from balanced_mixup.report.figures.labels import (
    BOLD,
    LINE,
    extent,
    key,
    key_lines,
    put,
    put_lines,
    require_columns,
    rules,
    shortened,
)

MANY, GROUPS = 40, 12  # of more classes than that, groups of classes of like size are shown: as many

_COLUMNS = ("method", "class", "images", "recall", "low", "high")
_LEFT, _TOP, _GAP, _HEIGHT, _AXIS, _MARGIN = 15.0, 6.5, 5.0, 38.0, 10.0, 2.0  # mm
_OWN: dict[str, Any] = {"color": BLUE, "marker": "o", "linestyle": "none", "markersize": 3.6}
_FIRST: dict[str, Any] = _OWN | {"color": GREY, "marker": "s", "markerfacecolor": "none"}
_FEWEST = 0.5  # images; a class without any stands here, as 0 has no place on a logarithmic scale
_ACROSS = 3  # panels beside each other, at most


def score_by_rarity(rows: pd.DataFrame) -> Drawing:
    """Draw the recall of each class against its training images, a panel a method, with the first method's in grey behind.

    More than 40 classes are put into 12 groups by their training images. A point is then a group: median images and recall,
    and the middle 80 % of the recalls.

    Args:
        rows: method, class, images (of the class in training), recall (median), low and high; NaN where undefined. Methods
            are shown in the order in which they come.

    Returns:
        The figure, and the rows that it shows: those given, or a row for each method and group, with the column classes.

    Raises:
        UsageError: There are no rows, or a column is missing.
    """
    require_columns(rows, _COLUMNS, "recalls")
    if rows.empty:
        raise UsageError("Expected the recall of one class or more, but got none.")
    numbers = rows[list(_COLUMNS)].reset_index(drop=True)
    methods = list(dict.fromkeys(numbers["method"]))
    many = numbers["class"].nunique() > MANY
    rarest = _rarest(numbers)
    if many:
        numbers = _grouped(numbers)
    across = min(len(methods), _ACROSS)
    page = COLUMN if across == 1 else PAGE
    width = (page - _LEFT - 4 - (across - 1) * _GAP) / across
    down = -(-len(methods) // across)
    entries = _entries(methods, many, page)
    keyed = key_lines([text for text, _ in entries], page - 2 * _MARGIN)
    grid = down * (_TOP + _HEIGHT) + _AXIS
    with house_style():
        figure = canvas(page, grid + (len(keyed) + 1) * LINE + _MARGIN)
        first = numbers[numbers["method"] == methods[0]]
        for index, method in enumerate(methods):
            row, column = divmod(index, across)
            left, top = _LEFT + column * (width + _GAP), _TOP + row * (_TOP + _HEIGHT)
            axes = open_panel(figure, left, top, width, _HEIGHT)
            put(figure, left, top - 2.7, shortened(str(method), width / BOLD), weight="bold")
            _scale(axes, numbers, left_most=column == 0, lowest=index + across >= len(methods))
            if index:
                _draw(axes, first, _FIRST, intervals=False)
            _draw(axes, numbers[numbers["method"] == method], _OWN, intervals=True)
        key(figure, _MARGIN, grid, page - 2 * _MARGIN, entries)
        put_lines(figure, _MARGIN, grid + len(keyed) * LINE, [_note(rarest, page)])
    return Drawing(figure, numbers)


def _grouped(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each method and group of classes of like size."""
    sizes = rows.groupby("class", sort=False)["images"].first().sort_values(kind="stable")
    group = pd.Series(np.arange(len(sizes)) * GROUPS // len(sizes), index=sizes.index)
    tables = rows.assign(group=rows["class"].map(group)).sort_values("group", kind="stable")
    shown = tables.groupby(["method", "group"], sort=False).agg(
        classes=("class", "nunique"),
        images=("images", "median"),
        recall=("recall", "median"),
        low=("recall", lambda values: values.quantile(0.1)),
        high=("recall", lambda values: values.quantile(0.9)),
    )
    return shown.reset_index()


def _entries(methods: list[str], many: bool, page: float) -> list[tuple[str, dict[str, Any]]]:
    """Return what the signs mean."""
    own = "classes of like size, their median and middle 80%" if many else "a class, from low to high"
    entries = [(own, _OWN)]
    if len(methods) > 1:
        entries.append((shortened(f"the same by {methods[0]}", page - 20), _FIRST))
    return entries


def _rarest(rows: pd.DataFrame) -> list[str]:
    """Return the classes with the fewest training images, with their number."""
    sizes = rows.groupby("class", sort=False)["images"].first().sort_values(kind="stable")
    sizes = sizes.head(max(1, min(8, len(sizes) // 2)))
    return [f"{shortened(str(name), 30)} ({size:,.0f})" for name, size in sizes.items()]


def _note(rarest: list[str], page: float) -> str:
    """Return the names of the rarest classes, as many as have room on a line."""
    lines = [f"The rarest: {', '.join(rarest[:count])}" for count in range(1, len(rarest) + 1)]
    return [line for line in lines if line is lines[0] or extent(line) <= page - 2 * _MARGIN][-1]


def _draw(axes: Axes, part: pd.DataFrame, style: dict[str, Any], *, intervals: bool) -> None:
    part = part.assign(images=part["images"].clip(lower=_FEWEST))
    if intervals:
        known = part[part["low"].notna() & part["high"].notna()]
        axes.vlines(known["images"], known["low"], known["high"], color=style["color"], linewidth=0.9, clip_on=False)
    axes.plot(part["images"], part["recall"], **style, clip_on=False)


def _scale(axes: Axes, numbers: pd.DataFrame, *, left_most: bool, lowest: bool) -> None:
    """Set the same axes for all panels; those at the edge are labelled."""
    low, high = max(_FEWEST, float(numbers["images"].min())), max(1.0, float(numbers["images"].max()))
    axes.set_xscale("log")
    axes.set(xlim=(low / 1.3, high * 1.3), ylim=(0, 1), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelleft=left_most, labelbottom=lowest)
    axes.set_xlabel("training images (log scale)" if lowest else "")
    axes.set_ylabel("recall" if left_most else "")
    rules(axes, "y", 0.25, 0.5, 0.75, 1)
