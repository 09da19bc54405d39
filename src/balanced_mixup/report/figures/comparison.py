"""Comparison of methods: a forest plot of paired differences to a baseline, and ranks over data sets."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from balanced_mixup.report.figures import style
from balanced_mixup.words import p_value

LEVEL = 0.05

_COLUMNS = ("group", "label", "value", "low", "high", "p")
_LOOKS: dict[str, dict[str, Any]] = {
    "better": {"color": style.BLUE, "marker": "D"},
    "worse": {"color": style.VERMILLION, "marker": "X", "markersize": 5.0},
    "not significant": {"color": style.GREY, "marker": "o", "markerfacecolor": "none"},
}
_MEANING = {"not significant": f"not significantly different (p at least {LEVEL:g}), or not tested"}
_FARTHEST = 3.0  # largest differences that the axis shows


@style.figure_style()
def forest(rows: pd.DataFrame, baseline: str = "the baseline") -> style.Drawing:
    """Draw paired differences to a baseline with their intervals around a line at 0, right of which is better.

    A difference whose corrected p-value is under 0.05 is a filled diamond where it is better and a cross where it is worse; all
    others, also those without a p-value, are hollow circles. An interval that extends beyond the panel ends in an arrow.

    Args:
        rows: group (data set or metric, a heading), label (method), value (mean difference, above 0 where the method is
            better), low and high (its 95% interval), p (corrected). Rows of a group are adjacent; NaN where undefined.
        baseline: Its name.

    Returns:
        The figure, and the rows with the column verdict: "better", "worse", "not significant" or "undefined".
    """
    numbers = rows[list(_COLUMNS)].reset_index(drop=True)
    numbers["verdict"] = [_verdict(*row) for row in numbers[["value", "p"]].to_numpy(float)]
    groups = list(dict.fromkeys(numbers["group"]))
    numbers = pd.concat([numbers[numbers["group"] == group] for group in groups], ignore_index=True)

    names: list[str] = []
    texts: list[str] = []
    places: list[int] = []
    for group in groups:
        names.append(group)
        texts.append("" if texts else "difference (95% interval), corrected p")
        for row in numbers[numbers["group"] == group].to_dict("records"):
            places.append(len(names))
            names.append(row["label"])
            texts.append(_text(row["value"], row["low"], row["high"], row["p"]))
    figure = style.new_figure(style.PAGE, 24 + style.LINE * (len(names) + 1))
    axes = figure.subplots()
    style.name_rows(axes, [style.short_name(name, 30 if row in places else 46) for row, name in enumerate(names)])
    for row, label in enumerate(axes.get_yticklabels()):
        label.set_fontweight("normal" if row in places else "bold")
    axes.set_xlim(*_limits(numbers))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.set_xlabel(f"difference to {style.short_name(baseline)} (right: better)")
    style.right_labels(axes, texts)
    for place, row in zip(places, numbers.to_dict("records"), strict=True):
        _difference(axes, place, row)
    style.legend_below(figure, [style.handle(_MEANING.get(name, name), **look) for name, look in _LOOKS.items()])
    significant = numbers[numbers["verdict"].isin(["better", "worse"])].to_dict("records")
    found = "; ".join(f"{row['label']} on {row['group']} ({row['verdict']})" for row in significant)
    return style.Drawing(figure, numbers, f"Significantly different from {baseline}: {found or 'none'}.")


def _verdict(value: float, p: float) -> str:
    if np.isnan(value):
        return "undefined"
    return ("better" if value > 0 else "worse") if p < LEVEL else "not significant"


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


def _difference(axes: Axes, place: float, row: dict[Any, Any]) -> None:
    look = _LOOKS.get(row["verdict"])
    if look is None:
        return
    low, high = axes.get_xlim()
    ends = max(row["low"], low), min(row["high"], high)
    axes.plot(ends, [place, place], color=look["color"], linewidth=1.2)
    for end, beyond, arrow in ((low, row["low"] < low, "<"), (high, row["high"] > high, ">")):
        if beyond:
            axes.plot([end], [place], color=look["color"], marker=arrow, clip_on=False)
    axes.plot([row["value"]], [place], **look)


def _text(value: float, low: float, high: float, p: float) -> str:
    """Return "+0.031 (+0.010 to +0.050), p = 0.004"."""
    if np.isnan(value):
        return "undefined"
    interval = f" ({low:+.3f} to {high:+.3f})" if not np.isnan([low, high]).any() else ""
    test = "" if np.isnan(p) else ", p < 0.001" if p < 0.001 else f", p = {p_value(p)}"
    return f"{value:+.3f}{interval}{test}".replace("-", "−")


@style.figure_style()
def ranks(table: pd.DataFrame) -> style.Drawing:
    """Draw the rank of each method on each data set and the mean of these, the best method on top.

    A method without a rank on some data set has no mean, and the figure says so. Of more than seven data sets none has its
    own marker.

    Args:
        table: (M, D), a row for each method and a column for each data set, named: ranks from 1, the best; NaN where it has
            none.

    Returns:
        The figure, and a row for each method and data set: method, data, rank, mean_rank.
    """
    means = table.astype(float).mean(axis=1, skipna=False)
    order = means.reset_index(drop=True).sort_values(kind="stable", na_position="last").index
    table, means = table.astype(float).iloc[order], means.iloc[order]
    methods, data = np.meshgrid(table.index.to_numpy(object), table.columns.to_numpy(object), indexing="ij")
    mean_ranks = np.repeat(means.to_numpy(), table.shape[1])
    columns = {"method": methods.ravel(), "data": data.ravel(), "rank": table.to_numpy().ravel(), "mean_rank": mean_ranks}
    numbers = pd.DataFrame(columns)

    count = table.shape[1]
    looks: list[dict[str, Any]] = [
        {"color": colour, "marker": marker} for colour, marker in zip(style.COLOURS, style.MARKERS, strict=True)
    ]
    looks = looks[:count] if count <= len(looks) else [{"color": style.GREY, "marker": "o"}] * count
    labels = (
        [style.short_name(str(name)) for name in table.columns]
        if count <= len(style.COLOURS)
        else [f"each of {count} data sets"]
    )
    entries = [style.handle(label, linestyle="none", **look) for label, look in zip(labels, looks, strict=False)]
    entries.append(style.handle("mean", color=style.INK, marker="|", linestyle="none", markersize=8, markeredgewidth=1.6))
    height = max(style.LINE + 1, 1.2 * min(count, 6))
    figure = style.new_figure(style.COLUMN, 20 + height * len(table) + style.LINE * (len(entries) + 1))
    axes = figure.subplots()
    style.name_rows(axes, [style.short_name(str(name)) for name in table.index])
    worst = max(len(table), float(np.nanmax(table.to_numpy(), initial=1.0)))
    axes.set_xlim(0.7, worst + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(min(7, int(worst)), integer=True))
    axes.set_xlabel("rank (1: best)")
    axes.set_title("mean", loc="right")
    style.grid_lines(axes, "x")
    texts = []
    # Data sets are offset vertically within a row, so that equal ranks do not overlap.
    offsets = (np.arange(count) - (count - 1) / 2) * min(0.16, 0.7 / count)
    for row, (mean, own) in enumerate(zip(means, table.to_numpy(), strict=True)):
        texts.append(f"{np.isfinite(own).sum()} of {count}" if np.isnan(mean) else f"{mean:.1f}")
        axes.plot([mean], [row], color=style.INK, marker="|", markersize=height * 2.3, markeredgewidth=1.6)
        for look, rank, offset in zip(looks, own, offsets, strict=True):
            axes.plot([rank], [row + offset], **look)
    style.right_labels(axes, texts)
    style.legend_below(figure, entries, *["Without a rank on each data set there is no mean."] * bool(np.isnan(means).any()))
    return style.Drawing(
        figure, numbers, "Mean ranks: " + ", ".join(f"{name} {rank:.1f}" for name, rank in means.items()) + "."
    )
