"""Reliability: of the images with an answer of 70 %, are 70 % right?"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

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
    write,
)
from balanced_mixup.report.figures.labels import put, require_columns, shortened

COLUMNS = ("confidence", "accuracy", "low", "high", "count")

_LEFT, _TOP, _SIDE, _COUNTS = 15.0, 11.0, 60.0, 12.0  # mm: panel, its side, height of the counts below it


def reliability_diagram(
    bins_before: pd.DataFrame, bins_after: pd.DataFrame | None = None, *, ece_before: str = "", ece_after: str = ""
) -> Drawing:
    """Draw the share of right answers against their confidence in each bin, and below how many images a bin has.

    With `bins_after` two panels stand side by side, before and after calibration. Points under the diagonal are surer than
    right. A bin without images is left out.

    Args:
        bins_before: A row for each bin: confidence (mean), accuracy, low and high (its 95 % interval, NaN where undefined),
            count.
        bins_after: The same after calibration.
        ece_before, ece_after: What to write above, such as "ECE 0.043 (0.030 to 0.058)".

    Returns:
        The figure, and the bins that it shows, with the column panel: "before" or "after".

    Raises:
        UsageError: A column is missing.
    """
    panels = [("before", bins_before, ece_before)] + ([("after", bins_after, ece_after)] if bins_after is not None else [])
    for name, bins, _ in panels:
        require_columns(bins, COLUMNS, f"the bins {name} calibration")
    tables = [
        bins.loc[bins["count"] > 0, list(COLUMNS)].assign(panel=name).sort_values("confidence") for name, bins, _ in panels
    ]
    most = max((float(table["count"].max()) for table in tables if len(table)), default=1.0)
    with house_style():
        figure = canvas(PAGE if len(panels) == 2 else COLUMN, _TOP + _SIDE + 3 + _COUNTS + 10)
        for index, (table, (name, _, ece)) in enumerate(zip(tables, panels, strict=True)):
            left = index * COLUMN + _LEFT
            title = f"{name.capitalize()} calibration" if len(panels) == 2 else "Reliability"
            write(figure, left, 2, title, bold=True)
            put(figure, left, 7.3, shortened(ece, _SIDE + 8))
            _draw(figure, left, table, most, (BLUE, "o") if index == 0 else (VERMILLION, "D"))
    numbers = pd.concat(tables, ignore_index=True)
    return Drawing(figure, numbers[["panel", *COLUMNS]])


def _draw(figure: Figure, left: float, table: pd.DataFrame, most: float, look: tuple[str, str]) -> None:
    """Draw the points of a panel and the counts below them."""
    axes = open_panel(figure, left, _TOP, _SIDE, _SIDE)
    colour, marker = look
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks, ylabel="share of right answers")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelbottom=False)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=(0, (3, 2)))
    axes.text(0.97, 0.03, "surer than right", ha="right", va="bottom", style="italic")
    axes.text(0.03, 0.97, "less sure than right", ha="left", va="top", style="italic")
    counts = open_panel(figure, left, _TOP + _SIDE + 3, _SIDE, _COUNTS)
    counts.set(xlim=(0, 1), ylim=(0, most), xticks=ticks, xlabel="confidence (probability of the answer)", ylabel="images")
    counts.xaxis.set_major_formatter(PercentFormatter(1))
    counts.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    counts.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    if table.empty:
        axes.text(0.5, 0.5, "no predictions", ha="center", va="center")
        return
    known = table[table["low"].notna() & table["high"].notna()]
    axes.vlines(known["confidence"], known["low"], known["high"], color=colour, linewidth=1, clip_on=False)
    axes.plot(table["confidence"], table["accuracy"], color=colour, marker=marker, markersize=3.6, linewidth=0, clip_on=False)
    # Stems, as a bin says where its images lie on average, not where it ends.
    counts.vlines(table["confidence"], 0, table["count"], color=GREY, linewidth=2.5, clip_on=False)
