"""Decision curves: the net benefit of acting on the probability of a class, against acting on all images and on none."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from balanced_mixup.report.figures import style
from balanced_mixup.statistics.net_benefit import net_benefit
from balanced_mixup.words import counted

Floats = npt.NDArray[np.float64]

MOST = 6  # classes with a panel, the rarest
THRESHOLDS = np.arange(100) / 100  # at 1 the weight of a false positive is infinite

_MODEL, _ALL, _NONE = "images above the threshold", "all images", "no image"
_COLUMNS = 3
_LOOKS: dict[str, dict[str, Any]] = {
    _MODEL: {"color": style.BLUE, "linewidth": 1.2},
    _ALL: {"color": style.VERMILLION, "linestyle": "--"},
    _NONE: {"color": style.INK, "linewidth": 0.8},
}


@style.figure_style()
def decision_curves(
    y: npt.NDArray[np.integer], probabilities: Floats, classes: Sequence[str], weights: Floats | None = None
) -> style.Drawing:
    """Draw the net benefit of each class with images, the rarest first, of at most six classes.

    Args:
        y: (N,), from 0 to K - 1, with two classes or more.
        probabilities: (N, K).
        classes: K names.
        weights: (N,), how many images each stands for; 1 if not given.

    Returns:
        The figure, and a row for each class and threshold: class, images, threshold, model, all; that of none is 0.
    """
    counts = np.bincount(y, minlength=len(classes))
    present = [int(k) for k in np.argsort(counts, kind="stable") if counts[k]]
    tables = []
    for k in present:
        inside = y == k
        model, every = (net_benefit(inside, p, THRESHOLDS, weights) for p in (probabilities[:, k], np.ones(len(y))))
        tables.append(
            pd.DataFrame({"class": classes[k], "images": counts[k], "threshold": THRESHOLDS, "model": model, "all": every})
        )
    shown = tables[:MOST]
    rows, columns = -(-len(shown) // _COLUMNS), min(len(shown), _COLUMNS)
    figure = style.new_figure(style.PAGE, 4 + 2 * style.LINE + 54 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, table in zip(panels, shown, strict=False):
        _draw(panel, table)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("net benefit")
    notes = [f"Shown: the {MOST} rarest of {len(present)} classes."] if len(present) > MOST else []
    style.legend_below(figure, [style.handle(f"acting on {name}", **look) for name, look in _LOOKS.items()], *notes)
    names = ", ".join(str(table["class"].iloc[0]) for table in shown)
    return style.Drawing(
        figure, pd.concat(tables, ignore_index=True), f"Net benefit by threshold, a panel for each of: {names}."
    )


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    prevalence = float(table["all"].iloc[0])
    name = style.short_name(str(table["class"].iloc[0]), 22)
    axes.set_title(f"{name}, {counted(int(table['images'].iloc[0]), 'image')}")
    axes.set(xlim=(0, 1), ylim=(-0.3 * prevalence, 1.05 * prevalence), xticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("threshold")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.axhline(0, **_LOOKS[_NONE])
    axes.plot(table["threshold"], table["all"], **_LOOKS[_ALL])
    axes.plot(table["threshold"], table["model"], **_LOOKS[_MODEL])
