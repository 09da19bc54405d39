"""Reliability: of the predictions with a confidence of 70%, are 70% correct?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from balanced_mixup.report.figures import style

COLUMNS = ("confidence", "accuracy", "low", "high", "count")


@style.figure_style()
def reliability_diagram(
    bins_before: pd.DataFrame, bins_after: pd.DataFrame | None = None, *, ece_before: str = "", ece_after: str = ""
) -> style.Drawing:
    """Draw accuracy against confidence in each bin, and the number of images per bin below.

    With `bins_after` there are two panels, before and after calibration. Points under the diagonal are overconfident.
    Bins without images are omitted.

    Args:
        bins_before: A row for each bin: confidence (mean), accuracy, low and high (its 95% interval, NaN where undefined),
            count.
        bins_after: The same after calibration.
        ece_before, ece_after: Subtitles, such as "ECE 0.043 (0.030 to 0.058)".

    Returns:
        The figure, and the bins that it shows, with the column panel: "before" or "after".
    """
    panels = [("before", bins_before, ece_before)] + ([("after", bins_after, ece_after)] if bins_after is not None else [])
    tables = [
        bins.loc[bins["count"] > 0, list(COLUMNS)].assign(panel=name).sort_values("confidence") for name, bins, _ in panels
    ]
    numbers = pd.concat(tables, ignore_index=True)[["panel", *COLUMNS]]
    figure = style.new_figure(style.COLUMN * len(panels) if len(panels) > 1 else style.COLUMN, 98)
    grid = figure.subplots(2, len(panels), height_ratios=[4, 1], squeeze=False, sharex=True, sharey="row")
    looks = [(style.BLUE, "o"), (style.VERMILLION, "D")]
    for column, (table, (name, _, ece), look) in enumerate(zip(tables, panels, looks, strict=False)):
        title = f"{name.capitalize()} calibration" if len(panels) == 2 else "Reliability"
        grid[0, column].set_title(f"{title}\n{style.short_name(ece, 40)}")
        _draw(grid[0, column], grid[1, column], table, *look)
    grid[0, 0].set_ylabel("accuracy")
    grid[1, 0].set_ylabel("images")
    grid[1, 0].set_ylim(0, max(1.0, float(numbers["count"].max()) if len(numbers) else 1.0))
    description = f"Reliability before{' and after' if len(panels) == 2 else ''} calibration. {ece_before}"
    return style.Drawing(figure, numbers, description + (f" before, {ece_after} after." if len(panels) == 2 else "."))


def _draw(axes: Axes, counts: Axes, table: pd.DataFrame, colour: str, marker: str) -> None:
    """Draw the points of a panel and the counts below them."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.plot([0, 1], [0, 1], color=style.INK, linewidth=0.6, linestyle=(0, (3, 2)))
    counts.set_xlabel("confidence (probability of the predicted class)")
    counts.xaxis.set_major_formatter(PercentFormatter(1))
    counts.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    counts.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    if table.empty:
        axes.text(0.5, 0.5, "no predictions", ha="center", va="center")
        return
    axes.vlines(table["confidence"], table["low"], table["high"], color=colour, linewidth=1)
    axes.plot(table["confidence"], table["accuracy"], color=colour, marker=marker, markersize=3.6, linewidth=0)
    # Stems, as a bin says where its images lie on average, not where it ends.
    counts.vlines(table["confidence"], 0, table["count"], color=style.GREY, linewidth=2.5)
