"""Recall and precision of every class against its size: are the rare ones found?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from balanced_mixup.calibration.class_prior import rare_classes
from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import (
    BLUE,
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
    LINE,
    bare_rows,
    column_of,
    key,
    part,
    put,
    put_lines,
    rarest_and_largest,
    require_names,
    rules,
    wrapped,
)

Floats = npt.NDArray[np.float64]

RAREST, LARGEST = 30, 10  # of more classes than both together, those are shown

_RARE = {"color": VERMILLION, "marker": "D", "linestyle": "-", "markersize": 3.6, "linewidth": 1.2}
_FREQUENT = {"color": BLUE, "marker": "o", "linestyle": "-", "markersize": 3.6, "linewidth": 1.2}
_MARGIN, _NAME, _HEAD, _AXIS = 2.0, 38.0, 11.0, 7.0  # mm: around, widest name, above and below the panels


def class_scores(
    classes: Sequence[str],
    support_train: npt.NDArray[np.integer],
    support_test: npt.NDArray[np.integer],
    recall: Floats,
    precision: Floats,
) -> Drawing:
    """Draw recall and precision of each class with intervals, the class with the fewest training images on top.

    Rare classes (see `rare_classes`) have a sign and a colour of their own. Of more than 40 classes the 30 rarest and the 10
    largest are shown, and the figure says so. What is undefined says why.

    Args:
        classes: K names.
        support_train: (K,), training images.
        support_test: (K,), test images.
        recall: (K, 3), value, low and high, from 0 to 1; NaN where undefined.
        precision: As recall.

    Returns:
        The figure, and a row for each class that it shows: class, train_images, test_images, rare, recall, recall_low,
        recall_high, found (test images that were recognised), precision, precision_low, precision_high.

    Raises:
        UsageError: The arguments are not as described.
    """
    count = len(support_train)
    require_names(classes, count, "`support_train`")
    for name, values, shape in (
        ("support_test", support_test, (count,)),
        ("recall", recall, (count, 3)),
        ("precision", precision, (count, 3)),
    ):
        if np.shape(values) != shape:
            raise UsageError(f"Expected `{name}` to be of shape {shape}, but got {np.shape(values)}.")
    shown = rarest_and_largest(support_train, RAREST, LARGEST)
    numbers = _numbers(classes, support_train, support_test, recall, precision).iloc[shown].reset_index(drop=True)
    with house_style():
        return Drawing(_draw(numbers, count), numbers)


def _numbers(
    classes: Sequence[str],
    train: npt.NDArray[np.integer],
    test: npt.NDArray[np.integer],
    recall: Floats,
    precision: Floats,
) -> pd.DataFrame:
    found = np.rint(np.nan_to_num(recall[:, 0]) * test).astype(int)
    rare = np.isin(np.arange(len(train)), rare_classes(train))
    columns = {"class": list(classes), "train_images": train, "test_images": test, "rare": rare}
    table = pd.DataFrame(columns)
    for name, values in (("recall", recall), ("precision", precision)):
        table[[name, f"{name}_low", f"{name}_high"]] = values
    table.insert(7, "found", found)
    return table


def _draw(numbers: pd.DataFrame, count: int) -> Figure:
    names, widest = column_of(numbers["class"].tolist(), _NAME)
    widest *= BOLD
    images = [f"{value:,}" for value in numbers["train_images"]]
    found = [f"{found:,} of {of:,}" for found, of in zip(numbers["found"], numbers["test_images"], strict=True)]
    precise = ["" if np.isnan(value) else f"{value:.0%}" for value in numbers["precision"]]
    # Columns: name, training images, recall, images found, precision, its value.
    sizes = _MARGIN + max(widest, 8) + 3 + max(width_of("training"), *map(width_of, images))
    found_width, precise_width = (max(map(width_of, cells)) for cells in (found, ["100%"]))
    width = (PAGE - _MARGIN - sizes - 4 - found_width - 3 - 7 - precise_width - 3) / 2
    second = sizes + 4 + width + 3 + found_width + 7
    rows, notes = len(numbers), wrapped(_notes(numbers, count), PAGE - 2 * _MARGIN)
    entries = [("rare: fewer than half of the training images of an even share", _RARE)] * bool(numbers["rare"].any())
    figure = canvas(PAGE, _HEAD + rows * LINE + _AXIS + (len(entries) + len(notes)) * LINE + _MARGIN)
    put(figure, _MARGIN, 7.2, "class")
    put(figure, sizes, 3.6, "training", align="right")
    put(figure, sizes, 7.2, "images", align="right")
    for row in range(rows):
        middle = _HEAD + (row + 0.5) * LINE
        put(figure, _MARGIN, middle, names[row], weight="bold" if numbers["rare"][row] else "normal")
        put(figure, sizes, middle, images[row], align="right")
        put(figure, second - 7, middle, found[row], align="right")
        put(figure, PAGE - _MARGIN, middle, precise[row], align="right")
    for name, left, meaning, missing in (
        ("recall", sizes + 4, "share of the class that is found", "no test images"),
        ("precision", second, "how often the answer is right", "never predicted"),
    ):
        write(figure, left, 2, name.capitalize(), bold=True)
        write(figure, left, 5.6, meaning)
        axes = open_panel(figure, left, _HEAD, width, rows * LINE)
        _dots(axes, numbers, name, missing)
        if rows < count:
            part(axes, RAREST)
    bottom = _HEAD + rows * LINE + _AXIS
    key(figure, _MARGIN, bottom, PAGE, entries)
    put_lines(figure, _MARGIN, bottom + len(entries) * LINE, notes)
    return figure


def _notes(numbers: pd.DataFrame, count: int) -> list[str]:
    """Return what to say below the panels."""
    notes = ["Lines: 95% intervals."] * bool(numbers[["recall_low", "precision_low"]].notna().any(axis=None))
    if count > len(numbers):
        notes.append(f"Shown: the {RAREST} rarest and the {LARGEST} largest of {count} classes, parted by a dashed line.")
    return notes


def _dots(axes: Axes, numbers: pd.DataFrame, name: str, missing: str) -> None:
    """Draw a score of each class with its interval, or why there is none."""
    bare_rows(axes, len(numbers))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    rules(axes, "x", 0, 0.25, 0.5, 0.75, 1)
    for row, (rare, value, low, high) in enumerate(
        zip(numbers["rare"], numbers[name], numbers[f"{name}_low"], numbers[f"{name}_high"], strict=True)
    ):
        style = _RARE if rare else _FREQUENT
        if np.isnan(value):
            axes.text(0.02, row, missing, va="center_baseline", style="italic")
            continue
        if not np.isnan(low):
            axes.plot([low, high], [row, row], color=style["color"], linewidth=style["linewidth"], clip_on=False)
        axes.plot(value, row, marker=style["marker"], color=style["color"], markersize=style["markersize"], clip_on=False)
