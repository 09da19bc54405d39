"""Figure 1: the number of images of each class, a panel per data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures import style

LOG_FROM = 50  # imbalance ratio from which small bars would be invisible on a linear scale

_BAR, _AROUND = 4.4, 19.0  # mm: a bar with the gap to the next; title and axis of a panel


@dataclass(frozen=True)
class ClassCounts:
    """The classes of a data set and how many images each has.

    Args:
        name: Of the data set, as a title of up to some 45 characters.
        classes: K names.
        counts: (K,), images of each class: integers from 0, one at least above it.
        ordinal: The classes are ordinal and keep their order; otherwise the largest comes first.
    """

    name: str
    classes: Sequence[str]
    counts: Sequence[int]
    ordinal: bool = False

    @property
    def ratio(self) -> float:
        """Images of the largest class for each image of the smallest that has any."""
        return max(self.counts) / min(count for count in self.counts if count)

    @property
    def summary(self) -> str:
        """Images, classes and imbalance in a line."""
        empty = sum(count == 0 for count in self.counts)
        ratio = f"{self.ratio:.1f}" if self.ratio < 10 else f"{self.ratio:,.0f}"
        classes = f"{len(self.classes)} class{'es' * (len(self.classes) > 1)}"
        text = f"{sum(self.counts):,} images, {classes}, imbalance {ratio} : 1"
        return text + (f", {empty} without images" if empty else "")

    def numbers(self) -> pd.DataFrame:
        """Return a row for each bar, in the order of the bars."""
        order = range(len(self.counts)) if self.ordinal else np.argsort(-np.asarray(self.counts), kind="stable")
        count = np.array([self.counts[k] for k in order])
        with np.errstate(divide="ignore"):
            ratio = count.max() / count
        scale = "log" if self.ratio >= LOG_FROM else "linear"
        names = [self.classes[k] for k in order]
        columns = {"class": names, "count": count, "share": count / count.sum(), "ratio": ratio}
        return pd.DataFrame({"data": self.name, **columns, "scale": scale})


@style.figure_style()
def figure1(data_sets: Sequence[ClassCounts]) -> style.Drawing:
    """Draw the class distributions, as Fig. 1 of the paper: one column wide for one data set, else in two columns.

    The axis is logarithmic, and says so, where the imbalance ratio is at least 50.

    Returns:
        The figure, and a row for each bar: data, class, count, share of the data set, ratio (images of the largest class for
        each of this one, infinite where it has none) and the scale of its panel.

    Raises:
        UsageError: There is no data set.
    """
    if not data_sets:
        raise UsageError("Expected at least one data set, but got none.")
    columns: list[list[ClassCounts]] = [[] for _ in data_sets[:2]]
    for data in data_sets:
        min(columns, key=lambda column: sum(map(_height, column))).append(data)
    heights = [sum(map(_height, column)) for column in columns]
    figure = style.new_figure(style.COLUMN * len(columns), max(heights))
    subfigures = figure.subfigures(1, len(columns), squeeze=False)[0]
    for subfigure, column, height in zip(subfigures, columns, heights, strict=True):
        panels = subfigure.subplots(len(column), 1, squeeze=False, height_ratios=[_height(data) - _AROUND for data in column])
        for axes, data in zip(panels[:, 0], column, strict=True):
            _draw(axes, data, 0.75 * height / max(heights))
    numbers = pd.concat([data.numbers() for data in data_sets], ignore_index=True)
    return style.Drawing(figure, numbers, " ".join(f"{data.name}: {data.summary}." for data in data_sets))


def _height(data: ClassCounts) -> float:
    return _AROUND + _BAR * len(data.classes)


def _draw(axes: Axes, data: ClassCounts, thickness: float) -> None:
    table = data.numbers()
    style.name_rows(axes, [style.short_name(name, 36) for name in table["class"]])
    # At the right end, as the names of classes may leave little room for the panel.
    axes.set_title(data.name, weight="bold", pad=12, loc="right")
    axes.text(1, 1, data.summary, transform=axes.transAxes, va="bottom", ha="right")
    bars = axes.barh(range(len(table)), table["count"], height=thickness, color=style.BLUE)
    largest = max(data.counts)
    if data.ratio >= LOG_FROM:
        axes.set_xscale("log")
        axes.set_xlim(0.5, largest ** (1 / 0.82))  # from 0.5, so that a single image has a bar, too; space for the last number
        axes.xaxis.set_major_locator(LogLocator(numticks=4 if largest < 100_000 else 3))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("images (log scale)")
    else:
        axes.set_xlim(0, 1.22 * largest)
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_xlabel("images")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.bar_label(bars, [f"{count:,}" for count in table["count"]], padding=2)
