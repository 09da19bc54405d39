"""From the rows of a table to the splits: what was left out, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from balanced_mixup.report.figures import style
from balanced_mixup.words import counted

MOST = 8  # reasons that have a line of their own

_GAP, _EDGE = 7.0, 2.0  # mm between boxes, and from a box's edge to its text
_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "color": style.INK, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}


@dataclass(frozen=True)
class Part:
    """A split: its name, its images, and its groups, None where there are none."""

    name: str
    images: int
    groups: int | None = None


@style.figure_style()
def flow(left_out: Mapping[str, int], parts: Sequence[Part], groups: int | None = None) -> style.Drawing:
    """Draw boxes from the rows of a table to the splits.

    Args:
        left_out: By reason, the number of rows that were left out.
        parts: The splits.
        groups: Groups of all splits together, None where there are none.

    Returns:
        The figure, and a row for each box: what, rows, groups.
    """
    kept, lost = sum(part.images for part in parts), sum(left_out.values())
    reasons = sorted(left_out.items(), key=lambda item: -item[1])
    lines = [f"{reason}: {number:,}" for reason, number in reasons[:MOST]]
    if len(reasons) > MOST:
        lines.append(f"other reasons: {sum(number for _, number in reasons[MOST:]):,}")
    out = [f"Left out: {counted(lost, 'row')}", *lines]
    tops = [0.0, _height(1) + max(_height(len(out)), _GAP) + _GAP]
    tops.append(tops[1] + _height(2) + _GAP)
    height = tops[2] + _height(3)
    figure = style.new_figure(style.PAGE, height + 2)
    axes = figure.subplots()
    axes.set(xlim=(-0.5, style.PAGE - 0.5), ylim=(height + 1, -1))
    axes.set_axis_off()
    middle, width = (style.PAGE - 1) / 2, 62.0
    _box(axes, middle - width / 2, tops[0], width, [counted(kept + lost, "row") + " of the table"])
    _box(axes, middle - width / 2, tops[1], width, ["Images of the run", _size(kept, groups)])
    _arrow(axes, (middle, _height(1)), (middle, tops[1]))
    if lost:
        side, top = middle + 12, _height(1) + _GAP / 2
        _arrow(axes, (middle, top + _height(1) / 2), (side, top + _height(1) / 2))
        _box(axes, side, top, style.PAGE - 1 - side, [style.short_name(line, 44) for line in out])
    own = (style.PAGE - 1 - _GAP * (len(parts) - 1)) / len(parts)
    for number, part in enumerate(parts):
        left = number * (own + _GAP)
        _arrow(axes, (middle, tops[1] + _height(2)), (left + own / 2, tops[2]))
        sizes = [counted(part.images, "image"), *([] if part.groups is None else [counted(part.groups, "group")])]
        _box(axes, left, tops[2], own, [part.name, *sizes])
    rows: list[tuple[str, int, int | None]] = [("rows of the table", kept + lost, None)]
    rows += [(f"left out: {reason}", number, None) for reason, number in reasons]
    rows += [("images of the run", kept, groups), *((part.name, part.images, part.groups) for part in parts)]
    numbers = pd.DataFrame(rows, columns=["what", "rows", "groups"]).astype({"groups": float})
    ends = ", ".join(f"{part.name.lower()} {_size(part.images, part.groups)}" for part in parts)
    text = f"{counted(kept + lost, 'row')} of the table, {lost:,} left out, {_size(kept, groups)}: {ends}."
    return style.Drawing(figure, numbers, text)


def _size(images: int, groups: int | None) -> str:
    return counted(images, "image") + ("" if groups is None else f" in {counted(groups, 'group')}")


def _height(lines: int) -> float:
    return style.LINE * lines + 2 * _EDGE


def _box(axes: Axes, left: float, top: float, width: float, lines: Sequence[str]) -> None:
    height = _height(len(lines))
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=style.INK, linewidth=0.6))
    for number, line in enumerate(lines):
        axes.text(left + _EDGE, top + _EDGE + style.LINE * (number + 0.5), line, va="center")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops=_ARROW)
