"""Scores of methods against their training time and memory."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from balanced_mixup.errors import human_bytes, human_time
from balanced_mixup.report.figures import style

_COLUMNS = ("method", "seconds", "score", "low", "high")


@style.figure_style()
def cost_by_score(rows: pd.DataFrame, score: str = "score") -> style.Drawing:
    """Draw the score of each method against its time, and against its memory where that is known, with a legend.

    Args:
        rows: method, seconds (of a training, above 0), score, low and high (NaN where undefined), and perhaps memory (bytes).
        score: Name of the score.

    Returns:
        The figure, and the rows.
    """
    measured = ["seconds", *(["memory"] if "memory" in rows and rows["memory"].notna().any() else [])]
    numbers = rows[[*_COLUMNS, *measured[1:]]].reset_index(drop=True)
    figure = style.new_figure(style.PAGE if len(measured) == 2 else style.COLUMN, 58 + style.LINE * len(numbers))
    panels = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    for axes, cost in zip(panels, measured, strict=True):
        _draw(axes, numbers, cost)
    panels[0].set_ylabel(style.short_name(score, 24))
    style.legend_below(
        figure, [style.handle(_entry(row), **look_of(index)) for index, row in enumerate(numbers.to_dict("records"))]
    )
    fastest = numbers.sort_values("seconds", kind="stable").iloc[0]
    return style.Drawing(figure, numbers, f"The fastest is {fastest['method']}, {human_time(fastest['seconds'])}.")


def _entry(row: dict[Any, Any]) -> str:
    """Return "method: 10 min, 2.0 GiB, 0.612"."""
    time = human_time(row["seconds"]) if pd.notna(row["seconds"]) else "time unknown"
    memory = [human_bytes(row["memory"]) if pd.notna(row["memory"]) else "memory unknown"] if "memory" in row else []
    score = f"{row['score']:.3f}" if pd.notna(row["score"]) else "undefined"
    return f"{style.short_name(str(row['method']), 24)}: {', '.join([time, *memory, score])}"


def look_of(index: int) -> dict[str, Any]:
    """Return the marker style of a method, distinct for up to 49."""
    colour, marker = (
        style.COLOURS[index % len(style.COLOURS)],
        style.MARKERS[(index + index // len(style.COLOURS)) % len(style.MARKERS)],
    )
    return {"color": colour, "marker": marker, "markersize": 4.5, "linestyle": "none"}


def _draw(axes: Axes, numbers: pd.DataFrame, cost: str) -> None:
    unit, size = ("GiB", 2.0**30) if cost == "memory" else unit_of(float(numbers[cost].max()))
    costs = numbers[cost].to_numpy(float) / size
    for index, (x, (value, low, high)) in enumerate(zip(costs, numbers[["score", "low", "high"]].to_numpy(float), strict=True)):
        look = look_of(index)
        axes.plot([x, x], [low, high], color=look["color"])
        axes.plot([x], [value], **look)
    axes.set_xlim(0, 1.08 * np.nanmax(costs))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(f"{'peak memory' if cost == 'memory' else 'training time'} ({unit})")


def unit_of(seconds: float) -> tuple[str, float]:
    """Return the unit for an axis of durations up to this one, and its seconds."""
    return ("s", 1.0) if seconds < 180 else ("min", 60.0) if seconds < 3 * 3600 else ("h", 3600.0)
