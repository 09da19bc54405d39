"""Recall of each class against its number of training images, by method."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from balanced_mixup.report.figures import style

MANY, GROUPS = 40, 12  # of more classes than that, groups of classes of similar size are shown: as many

_COLUMNS = ("method", "class", "images", "recall", "low", "high")
_OWN: dict[str, Any] = {"color": style.BLUE, "marker": "o", "linestyle": "none", "markersize": 3.6}
_FIRST: dict[str, Any] = _OWN | {"color": style.GREY, "marker": "s", "markerfacecolor": "none"}
_FEWEST = 0.5  # images; position of classes without images on the logarithmic scale
_ACROSS = 3  # maximum number of panels per row


@style.figure_style()
def score_by_rarity(rows: pd.DataFrame) -> style.Drawing:
    """Draw the recall of each class against its training images, a panel per method, with the first method's in grey behind.

    More than 40 classes are put into 12 groups by their training images. A point is then a group: median images and recall,
    and the middle 80% of the recalls.

    Args:
        rows: method, class, images (of the class in training), recall (median), low and high; NaN where undefined. Methods
            are shown in this order.

    Returns:
        The figure, and the rows that it shows: those given, or a row for each method and group, with the column classes.
    """
    numbers = rows[list(_COLUMNS)].reset_index(drop=True)
    methods = list(dict.fromkeys(numbers["method"]))
    many = numbers["class"].nunique() > MANY
    sizes = numbers.groupby("class", sort=False)["images"].first().sort_values(kind="stable")
    rarest = [
        f"{style.short_name(str(name), 20)} ({size:,.0f})" for name, size in sizes.head(max(1, min(4, len(sizes) // 2))).items()
    ]
    if many:
        numbers = _grouped(numbers, sizes)
    across = min(len(methods), _ACROSS)
    down = -(-len(methods) // across)
    figure = style.new_figure(style.COLUMN if across == 1 else style.PAGE, 44 * down + 10 + 4 * style.LINE)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    first = numbers[numbers["method"] == methods[0]]
    for index, (axes, method) in enumerate(zip(panels, methods, strict=False)):
        axes.set_title(style.short_name(str(method)), weight="bold")
        if index:
            _draw(axes, first, _FIRST)
        own = numbers[numbers["method"] == method]
        axes.vlines(own["images"].clip(lower=_FEWEST), own["low"], own["high"], color=style.BLUE, linewidth=0.9)
        _draw(axes, own, _OWN)
    for axes in panels[len(methods) :]:
        axes.set_axis_off()
    _scale(panels[0], numbers)
    for index in range(len(methods)):
        style.grid_lines(panels[index], "y")
        panels[index].tick_params(labelbottom=index + across >= len(methods))
    for index in range(max(0, len(methods) - across), len(methods)):
        panels[index].set_xlabel("training images (log scale)")
    for index in range(0, len(methods), across):
        panels[index].set_ylabel("recall")
    own_label = "classes of similar size, their median and middle 80%" if many else "a class, from lowest to highest run"
    entries = [style.handle(own_label, **_OWN)]
    if len(methods) > 1:
        entries.append(style.handle(f"the same with {style.short_name(methods[0])}", **_FIRST))
    style.legend_below(figure, entries, f"The rarest: {', '.join(rarest)}.")
    return style.Drawing(figure, numbers)


def _grouped(rows: pd.DataFrame, sizes: "pd.Series[float]") -> pd.DataFrame:
    """Return a row for each method and group of classes of similar size; `sizes` are those of the classes, rising."""
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


def _draw(axes: Axes, rows: pd.DataFrame, look: dict[str, Any]) -> None:
    axes.plot(rows["images"].clip(lower=_FEWEST), rows["recall"], **look)


def _scale(axes: Axes, numbers: pd.DataFrame) -> None:
    """Set the scales that all panels share."""
    low, high = max(_FEWEST, float(numbers["images"].min())), max(1.0, float(numbers["images"].max()))
    axes.set_xscale("log")
    axes.set(xlim=(low / 1.3, high * 1.3), ylim=(-0.03, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1))
