"""What a method costs and what it scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from balanced_mixup.errors import UsageError, human_bytes, human_time
from balanced_mixup.report.figures.drawing import COLUMN, PAGE, Drawing, canvas, house_style, open_panel
from balanced_mixup.report.figures.labels import COLOURS, LINE, MARKERS, put, require_columns, shortened, sign

_COLUMNS = ("method", "seconds", "score", "low", "high")
_LEFT, _TOP, _HEIGHT, _AXIS, _MARGIN, _GAP = 14.0, 3.0, 46.0, 11.0, 2.0, 6.0  # mm


def cost_by_score(rows: pd.DataFrame, score: str = "score") -> Drawing:
    """Draw the score of each method against its time, and against its memory where that is known; a list says which is which.

    Args:
        rows: method, seconds (of a training, above 0), score, low and high (NaN where undefined), and perhaps memory (bytes).
        score: What to call the score.

    Returns:
        The figure, and the rows.

    Raises:
        UsageError: There are no rows, or a column is missing.
    """
    require_columns(rows, _COLUMNS, "costs")
    if rows.empty:
        raise UsageError("Expected the cost of one method or more, but got none.")
    measured = ["seconds", *(["memory"] if "memory" in rows and rows["memory"].notna().any() else [])]
    numbers = rows[[*_COLUMNS, *measured[1:]]].reset_index(drop=True)
    page = PAGE if len(measured) == 2 else COLUMN
    width = (page - _LEFT - 4 - (len(measured) - 1) * _GAP) / len(measured)
    with house_style():
        figure = canvas(page, _TOP + _HEIGHT + _AXIS + (len(numbers) + 1) * LINE + _MARGIN)
        for index, cost in enumerate(measured):
            axes = open_panel(figure, _LEFT + index * (width + _GAP), _TOP, width, _HEIGHT)
            _draw(axes, numbers, cost)
            axes.set_ylabel("" if index else shortened(score, _HEIGHT))
            axes.tick_params(labelleft=not index)
        _list(figure, numbers, measured, page)
    return Drawing(figure, numbers)


def _look(index: int) -> dict[str, Any]:
    """Return how a method is drawn: no two of 49 alike."""
    turn = index // len(COLOURS)
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[(index + turn) % len(MARKERS)]
    return {"color": colour, "marker": marker, "markersize": 4.5, "linestyle": "none"}


def _draw(axes: Axes, numbers: pd.DataFrame, cost: str) -> None:
    unit, size = ("GiB", 2.0**30) if cost == "memory" else _unit(float(numbers[cost].max()))
    costs = numbers[cost].to_numpy(float) / size
    ends = numbers[["score", "low", "high"]].to_numpy(float)
    for index, (x, (value, low, high)) in enumerate(zip(costs, ends, strict=True)):
        look = _look(index)
        axes.plot([x, x], [low, high], color=look["color"], linewidth=1)
        axes.plot([x], [value], **look)
    if np.isfinite(ends).any():
        room = max(0.05 * float(np.nanmax(ends) - np.nanmin(ends)), 0.005)
        axes.set_ylim(np.nanmin(ends) - room, np.nanmax(ends) + room)
    axes.set_xlim(0, 1.08 * np.nanmax(costs))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
    axes.set_xlabel(f"{'greatest memory' if cost == 'memory' else 'time of a training'} ({unit})")


def _unit(seconds: float) -> tuple[str, float]:
    return ("s", 1.0) if seconds < 180 else ("min", 60.0) if seconds < 3 * 3600 else ("h", 3600.0)


def _list(figure: Figure, numbers: pd.DataFrame, measured: Sequence[str], page: float) -> None:
    """Write below the panels which sign is whose, with its cost and score."""
    headings = ["time", *(["memory"] if len(measured) == 2 else []), "score"]
    middle = _TOP + _HEIGHT + _AXIS + LINE / 2
    rights = [page - _MARGIN - 22 * step for step in range(len(headings))][::-1]
    put(figure, _MARGIN + 8, middle, "method", weight="bold")
    for right, heading in zip(rights, headings, strict=True):
        put(figure, right, middle, heading, align="right", weight="bold")
    for index, row in numbers.iterrows():
        middle += LINE
        sign(figure, _MARGIN, middle, **_look(int(str(index))))
        put(figure, _MARGIN + 8, middle, shortened(str(row["method"]), rights[0] - 15 - _MARGIN - 8))
        cells = [human_time(row["seconds"]) if pd.notna(row["seconds"]) else "unknown"]
        if len(measured) == 2:
            cells.append(human_bytes(row["memory"]) if pd.notna(row["memory"]) else "unknown")
        cells.append(f"{row['score']:.3f}" if pd.notna(row["score"]) else "undefined")
        for right, cell in zip(rights, cells, strict=True):
            put(figure, right, middle, cell, align="right")
