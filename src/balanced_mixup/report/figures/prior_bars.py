"""The proportion of each class in the data, and its weight in training."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator

from balanced_mixup.report.figures import style

RAREST, LARGEST = 15, 10  # of more classes than both together, those are shown


@style.figure_style()
def prior_bars(classes: Sequence[str], natural: npt.NDArray[np.float64], effective: npt.NDArray[np.float64]) -> style.Drawing:
    """Draw for each class, the rarest first, its proportion of the data above the class prior that training induces.

    Of more than 25 classes the 15 rarest and the 10 largest are shown, and the figure says so.

    Args:
        classes: K names.
        natural: (K,), proportion of each class in the training images; sums to 1.
        effective: (K,), proportion of each class in the method's training targets; sums to 1.

    Returns:
        The figure, and a row for each class that it shows: class, natural, effective, factor (infinite for a class that only
        the sampling has, NaN for one in neither).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {"class": list(classes), "natural": natural, "effective": effective, "factor": effective / natural}
    numbers = pd.DataFrame(columns).iloc[style.rarest_and_largest(natural, RAREST, LARGEST)].reset_index(drop=True)
    notes = style.selection_note(RAREST, LARGEST, len(classes))
    rows = len(numbers)
    figure = style.new_figure(style.COLUMN, 20 + 7.4 * rows + style.LINE * (2 + 2 * len(notes)))
    axes = figure.subplots()
    style.name_rows(axes, [style.short_name(name) for name in numbers["class"]], RAREST if notes else None)
    axes.set_xlim(0, 1.25 * float(numbers[["natural", "effective"]].to_numpy().max()))  # space for the last number
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axes.set_xlabel("proportion")
    for name, offset, colour in (("natural", -0.2, style.GREY), ("effective", 0.2, style.BLUE)):
        bars = axes.barh(np.arange(rows) + offset, numbers[name], height=0.34, color=colour)
        axes.bar_label(bars, [_share(share) for share in numbers[name]], padding=2)
    looks = {"marker": "s", "linestyle": "none", "markersize": 5}
    style.legend_below(
        figure,
        [
            style.handle("upper bar: share of the training images", color=style.GREY, **looks),
            style.handle("lower bar: share of the weight in training", color=style.BLUE, **looks),
        ],
        *notes,
    )
    return style.Drawing(figure, numbers)


def _share(share: float) -> str:
    if share == 0 or share >= 0.0005:
        return f"{share:.1%}"
    return f"{share:.2%}" if share >= 0.00005 else "< 0.01%"
