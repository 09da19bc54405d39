"""What a method costs and what it scores."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from balanced_mixup.errors import human_bytes, human_time
from balanced_mixup.report.figures.style import (
    COLOURS,
    COLUMN,
    LINE,
    MARKERS,
    PAGE,
    Drawing,
    figure_style,
    legend_below,
    new_figure,
    short_name,
    sign,
)

_COLUMNS = ("method", "seconds", "score", "low", "high")


@figure_style()
def cost_by_score(rows: pd.DataFrame, score: str = "score") -> Drawing:
    """Draw the score of each method against its time, and against its memory where that is known, with a legend.

    Args:
        rows: method, seconds (of a training, above 0), score, low and high (NaN where undefined), and perhaps memory (bytes).
        score: What to call the score.

    Returns:
        The figure, and the rows.
    """
    measured = ["seconds", *(["memory"] if "memory" in rows and rows["memory"].notna().any() else [])]
    numbers = rows[[*_COLUMNS, *measured[1:]]].reset_index(drop=True)
    figure = new_figure(PAGE if len(measured) == 2 else COLUMN, 58 + LINE * len(numbers))
    panels = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    for axes, cost in zip(panels, measured, strict=True):
        _draw(axes, numbers, cost)
    panels[0].set_ylabel(short_name(score, 24))
    legend_below(figure, [sign(_entry(row), **_look(index)) for index, row in enumerate(numbers.to_dict("records"))])
    fastest = numbers.sort_values("seconds", kind="stable").iloc[0]
    return Drawing(figure, numbers, f"The fastest is {fastest['method']}, {human_time(fastest['seconds'])}.")


def _entry(row: dict[Any, Any]) -> str:
    """Return "method: 10 min, 2.0 GiB, 0.612"."""
    time = human_time(row["seconds"]) if pd.notna(row["seconds"]) else "time unknown"
    memory = [human_bytes(row["memory"]) if pd.notna(row["memory"]) else "memory unknown"] if "memory" in row else []
    score = f"{row['score']:.3f}" if pd.notna(row["score"]) else "undefined"
    return f"{short_name(str(row['method']), 24)}: {', '.join([time, *memory, score])}"


def _look(index: int) -> dict[str, Any]:
    """Return how a method is drawn: no two of 49 alike."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]
    return {"color": colour, "marker": marker, "markersize": 4.5, "linestyle": "none"}


def _draw(axes: Axes, numbers: pd.DataFrame, cost: str) -> None:
    unit, size = ("GiB", 2.0**30) if cost == "memory" else _unit(float(numbers[cost].max()))
    costs = numbers[cost].to_numpy(float) / size
    for index, (x, (value, low, high)) in enumerate(zip(costs, numbers[["score", "low", "high"]].to_numpy(float), strict=True)):
        look = _look(index)
        axes.plot([x, x], [low, high], color=look["color"])
        axes.plot([x], [value], **look)
    axes.set_xlim(0, 1.08 * np.nanmax(costs))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(f"{'peak memory' if cost == 'memory' else 'training time'} ({unit})")


def _unit(seconds: float) -> tuple[str, float]:
    return ("s", 1.0) if seconds < 180 else ("min", 60.0) if seconds < 3 * 3600 else ("h", 3600.0)
