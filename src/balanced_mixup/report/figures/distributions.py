"""Figure 1: how many images each class has, a panel a data set."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import BLUE, COLUMN, Drawing, canvas, house_style, panel, width_of, write

Floats = npt.NDArray[np.float64]

LOG_FROM = 50  # imbalance ratio from which small bars could not be seen on a linear scale

_MARGIN, _HEAD, _AXIS = 2.0, 9.0, 11.0  # mm: around a panel, its title, its axis
_LINE, _BAR_GAP, _BAR, _STRETCH = 2.9, 0.7, 6.5, 14.0  # mm: a line of text, between bars, thickest bar, most that is added
_WRAP = 30  # characters of a class name on a line


@dataclass(frozen=True)
class ClassCounts:
    """The classes of a data set and how many images each has.

    Args:
        name: Of the data set, as a title of up to some 45 characters.
        classes: K names.
        counts: (K,), images of each class: integers from 0, one at least above it.
        ordinal: The classes are grades and keep their order; otherwise the largest comes first.
    """

    name: str
    classes: Sequence[str]
    counts: Sequence[int]
    ordinal: bool = False

    def __post_init__(self) -> None:
        """Check the counts."""
        if not len(self.classes) or len(self.classes) != len(self.counts):
            raise UsageError(
                f"Expected a count for each class of {self.name!r}, at least one, but got {len(self.counts)} for "
                f"{len(self.classes)} classes."
            )
        counts = np.asarray(self.counts)
        if counts.dtype.kind not in "iu" or counts.min() < 0 or counts.max() == 0:
            raise UsageError(
                f"Expected the counts of {self.name!r} to be integers from 0, one at least above it, but got {counts.tolist()}."
            )

    @property
    def ratio(self) -> float:
        """Images of the largest class for each image of the smallest that has any."""
        return max(self.counts) / min(count for count in self.counts if count)

    def shown(self) -> list[tuple[str, int]]:
        """Return classes and counts in the order of the bars."""
        pairs = list(zip(self.classes, map(int, self.counts), strict=True))
        return pairs if self.ordinal else sorted(pairs, key=lambda pair: -pair[1])


def figure1(data_sets: Sequence[ClassCounts]) -> Drawing:
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
        min(columns, key=_height).append(data)
    height = max(map(_height, columns))
    with house_style():
        figure = canvas(COLUMN * len(columns), height)
        for index, column in enumerate(columns):
            # The bars of the shorter column stand further apart, so that both end at the same height.
            slack = min(_STRETCH, (height - _height(column)) / sum(len(data.classes) for data in column))
            top = 0.0
            for data in column:
                _draw(figure, data, index * COLUMN, top, _slots(data) + slack)
                top += _height([data]) + len(data.classes) * slack
    return Drawing(figure, pd.concat([_numbers(data) for data in data_sets], ignore_index=True))


def _numbers(data: ClassCounts) -> pd.DataFrame:
    names, counts = zip(*data.shown(), strict=True)
    count = np.array(counts)
    with np.errstate(divide="ignore"):
        ratio = count.max() / count
    scale = "log" if data.ratio >= LOG_FROM else "linear"
    columns = {"class": names, "count": count, "share": count / count.sum(), "ratio": ratio}
    return pd.DataFrame({"data": data.name, **columns, "scale": scale})


def _height(column: Sequence[ClassCounts]) -> float:
    """Return the height of panels below each other, with their titles and axes, in mm."""
    return sum(_MARGIN + _HEAD + float(_slots(data).sum()) + _AXIS for data in column)


def _slots(data: ClassCounts) -> Floats:
    """Return the height of each bar with the gap to the next (K,), in mm: as many lines as the name of its class takes."""
    return np.array([(_label(name).count("\n") + 1) * _LINE + _BAR_GAP for name, _ in data.shown()])


def _label(name: str) -> str:
    return "\n".join(textwrap.wrap(name, _WRAP)) or name


def _draw(figure: Figure, data: ClassCounts, left: float, top: float, slots: Floats) -> None:
    """Draw the panel of a data set whose corner is `left`, `top`, with bars in `slots` (K,); all in mm."""
    names, counts = zip(*data.shown(), strict=True)
    labels = [_label(name) for name in names]
    figures = [f"{count:,}" for count in counts]
    before = _MARGIN + max(width_of(line) for label in labels for line in label.split("\n")) + 2
    after = _MARGIN + max(map(width_of, figures)) + 1
    write(figure, left + _MARGIN, top + _MARGIN, data.name, bold=True)
    write(figure, left + _MARGIN, top + _MARGIN + 3.4, _summary(data))
    axes = panel(figure, left + before, top + _MARGIN + _HEAD, COLUMN - before - after, slots.sum())
    middles = np.cumsum(slots) - slots / 2
    axes.barh(middles, counts, height=min(0.75 * slots.min(), _BAR), color=BLUE)
    axes.set_yticks(middles, labels, linespacing=1.15, va="center_baseline")
    axes.set_ylim(slots.sum(), 0)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _scale(axes, data)
    for middle, count, text in zip(middles, counts, figures, strict=True):
        axes.annotate(text, (max(count, axes.get_xlim()[0]), middle), (2, 0), textcoords="offset points", va="center_baseline")


def _scale(axes: Axes, data: ClassCounts) -> None:
    """Set the scale of the counts, and say which it is."""
    if data.ratio >= LOG_FROM:
        axes.set_xscale("log")
        axes.set_xlim(0.5, max(data.counts))  # from 0.5, so that a single image is a bar too
        axes.xaxis.set_major_locator(LogLocator(numticks=4 if max(data.counts) < 100_000 else 3))  # as many as have room
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("images (log scale)")
    else:
        axes.set_xlim(0, max(data.counts))
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_xlabel("images")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))


def _summary(data: ClassCounts) -> str:
    empty = sum(count == 0 for count in data.counts)
    ratio = f"{data.ratio:.1f}" if data.ratio < 10 else f"{data.ratio:,.0f}"
    parts = [
        f"{sum(data.counts):,} images",
        f"{len(data.classes)} class{'es' * (len(data.classes) > 1)}",
        f"imbalance {ratio} : 1",
    ]
    return ", ".join([*parts, *([f"{empty} without images"] if empty else [])])
