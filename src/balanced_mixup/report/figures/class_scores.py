"""Recall and precision of every class, ordered by class size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from balanced_mixup.calibration.class_prior import rare_classes
from balanced_mixup.report.figures import style

Floats = npt.NDArray[np.float64]

RAREST, LARGEST = 30, 10  # of more classes than both together, those are shown

_RARE: dict[str, Any] = {"color": style.VERMILLION, "marker": "D", "markersize": 3.6}
_FREQUENT: dict[str, Any] = {"color": style.BLUE, "marker": "o", "markersize": 3.6}


@style.figure_style()
def class_scores(
    classes: Sequence[str],
    support_train: npt.NDArray[np.integer],
    support_test: npt.NDArray[np.integer],
    recall: Floats,
    precision: Floats,
    sizes_of: str = "training",
    predicted: npt.NDArray[np.integer] | None = None,
) -> style.Drawing:
    """Draw recall and precision of each class with intervals, the class with the fewest training images on top.

    Rare classes (see `rare_classes`) have their own marker and colour. Of more than 40 classes the 30 rarest and the 10
    largest are shown, and the figure says so. What is undefined says why.

    Args:
        classes: K names.
        support_train, support_test: (K,), training and test images.
        recall, precision: (K, 3), value, low and high, from 0 to 1; NaN where undefined.
        sizes_of: Which images `support_train` counts: "scored" where it is not known what a model was trained on.
        predicted: (K,), the test images predicted as each class; without them precision is written in per cent.

    Returns:
        The figure, and a row for each class that it shows: class, train_images, test_images, rare, recall, recall_low,
        recall_high, found (test images that were recognised), precision, precision_low, precision_high, predicted (if given).
    """
    found = np.rint(np.nan_to_num(recall[:, 0]) * support_test).astype(int)
    rare = np.isin(np.arange(len(classes)), rare_classes(support_train))
    columns = {"class": list(classes), "train_images": support_train, "test_images": support_test, "rare": rare}
    table = pd.DataFrame(columns)
    for name, values in (("recall", recall), ("precision", precision)):
        table[[name, f"{name}_low", f"{name}_high"]] = values
    table.insert(7, "found", found)
    if predicted is not None:
        table["predicted"] = predicted
    table = table.iloc[style.rarest_and_largest(support_train, RAREST, LARGEST)].reset_index(drop=True)

    known = bool(table[["recall_low", "precision_low"]].notna().any(axis=None))
    notes = [f"In parentheses: {sizes_of} images." + " Lines: 95% intervals." * known]
    notes += style.selection_note(RAREST, LARGEST, len(classes))
    figure = style.new_figure(style.PAGE, 22 + style.LINE * (len(table) + len(notes) + 1))
    left, right = figure.subplots(1, 2)
    names = [f"{style.short_name(name)} ({count:,})" for name, count in zip(table["class"], table["train_images"], strict=True)]
    split = RAREST if len(table) < len(classes) else None
    style.name_rows(left, names, split)
    style.name_rows(right, [""] * len(table), split)
    for label, is_rare in zip(left.get_yticklabels(), table["rare"], strict=True):
        label.set_fontweight("bold" if is_rare else "normal")
    left.set_title("Recall\nimages of the class that are found")
    right.set_title("Precision\npredictions of the class that are correct")
    _dots(left, table, "recall", "no test images")
    _dots(right, table, "precision", "never predicted")
    style.right_labels(left, [f"{hits:,} of {of:,}" for hits, of in zip(table["found"], table["test_images"], strict=True)])
    style.right_labels(right, [_correct(row) for _, row in table.iterrows()])
    rare_sign = style.handle(
        f"rare class: fewer than half of the {sizes_of} images it would have if all classes were equally large", **_RARE
    )
    style.legend_below(figure, [rare_sign] * bool(table["rare"].any()), *notes)
    return style.Drawing(figure, table, _description(table, sizes_of))


def _description(table: pd.DataFrame, sizes_of: str) -> str:
    first = table.iloc[0]
    return (
        f"Recall and precision of {len(table)} classes with intervals, the class with the fewest {sizes_of} images first. Of "
        f"{first['class']}, {first['found']:,} of {first['test_images']:,} images are found."
    )


def _correct(row: pd.Series) -> str:
    """Return how many predictions of a class are correct, "1 of 1", or without their number in per cent; "" without any."""
    if np.isnan(row["precision"]):
        return ""
    if "predicted" not in row:
        return f"{row['precision']:.0%}"
    return f"{round(row['precision'] * row['predicted']):,} of {row['predicted']:,}"


def _dots(axes: Axes, table: pd.DataFrame, name: str, missing: str) -> None:
    """Draw a score of each class with its interval, or why there is none."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    style.grid_lines(axes, "x")
    for look, chosen in ((_RARE, table["rare"]), (_FREQUENT, ~table["rare"])):
        own = table[chosen & table[name].notna()]
        axes.hlines(own.index, own[f"{name}_low"], own[f"{name}_high"], color=look["color"], linewidth=1.2)
        axes.plot(own[name], own.index, linestyle="none", **look)
    for row in table.index[table[name].isna()]:
        axes.text(0.02, row, missing, va="center_baseline", style="italic")
