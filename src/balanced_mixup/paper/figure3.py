"""Figure 3: Beta(alpha, 1), the distribution of the class-balanced image's weight in Balanced-MixUp."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing import NEGLIGIBLE
from balanced_mixup.report.figures.drawing import GREY, PAGE, PALETTE, Drawing, canvas, house_style, panel, write

ALPHAS = (0.1, 0.2, 0.3, 1.0)

_DENSITY_END = 3.0
_SMALLEST = 1e-4
_DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)))
_HEIGHT, _LINE, _COLUMNS = 40.0, 3.6, (16.0, 38.0, 80.0)  # mm


def figure3(alphas: Sequence[float] = ALPHAS) -> Drawing:
    """Draw density and distribution of w ~ Beta(alpha, 1), and below them what they mean, as Fig. 3 of the paper.

    The density alpha w^(alpha - 1) has no bound at 0, so it is cut off at 3, and the axis says so. The distribution w^alpha
    is drawn over log w, where it shows how many draws stay under 1/510 and so change nothing in an 8-bit image.

    Args:
        alphas: One to six different numbers above 0.

    Returns:
        The figure, and a row for each point of the curves: alpha, mean_weight alpha / (1 + alpha), unchanged (1/510)^alpha,
        weight, density, distribution.

    Raises:
        UsageError: `alphas` are not as described.
    """
    if not 1 <= len(alphas) <= len(PALETTE) or len(set(alphas)) < len(alphas):
        raise UsageError(f"Expected one to {len(PALETTE)} different values of `alpha`, but got {list(alphas)}.")
    if not all(np.isfinite(alpha) and alpha > 0 for alpha in alphas):
        raise UsageError(f"Expected each `alpha` to be a number above 0, but got {list(alphas)}.")
    curves = [_curve(alpha) for alpha in alphas]
    with house_style():
        figure = canvas(PAGE, _HEIGHT + 20 + (len(alphas) + 1) * _LINE)
        write(figure, 2, 2, "a", bold=True)
        write(figure, 86, 2, "b", bold=True)
        density = panel(figure, 13, 7, 68, _HEIGHT)
        distribution = panel(figure, 98, 7, 68, _HEIGHT)
        table = panel(figure, 0, _HEIGHT + 18.5, PAGE, (len(alphas) + 1) * _LINE)
        for curve, colour, dashes in zip(curves, PALETTE, _DASHES, strict=False):
            for axes, values in ((density, curve["density"]), (distribution, curve["distribution"])):
                axes.plot(curve["weight"], values, color=colour, linestyle=dashes, linewidth=1.2)
        _label_density(density)
        _label_distribution(distribution)
        _tabulate(table, alphas)
    return Drawing(figure, pd.concat(curves, ignore_index=True))


def _curve(alpha: float) -> pd.DataFrame:
    weight = np.geomspace(_SMALLEST, 1, 301)
    shares = {"mean_weight": alpha / (1 + alpha), "unchanged": NEGLIGIBLE**alpha}
    density = alpha * weight ** (alpha - 1)
    return pd.DataFrame({"alpha": alpha, **shares, "weight": weight, "density": density, "distribution": weight**alpha})


def _label_density(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(0, _DENSITY_END), xlabel="weight w of the class-balanced image")
    axes.set_ylabel(f"density (cut off at {_DENSITY_END:g})")


def _label_distribution(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set(xlim=(_SMALLEST, 1), ylim=(0, 1), xlabel="weight w (log scale)", ylabel="share of draws below w")
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda weight, _: f"{weight:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.axvspan(_SMALLEST, NEGLIGIBLE, color=GREY, alpha=0.18, linewidth=0)
    axes.text(_SMALLEST, 1.02, "grey: w < 1/510, nothing changes", va="bottom")


def _tabulate(axes: Axes, alphas: Sequence[float]) -> None:
    """Write a line for each alpha: how it is drawn, the mean weight, and the share of draws that change nothing."""
    axes.set(xlim=(0, PAGE), ylim=(len(alphas) + 0.5, -0.5))
    axes.set_axis_off()
    rows = [(f"α = {alpha:g}", f"{alpha / (1 + alpha):.3f}", _share(NEGLIGIBLE**alpha)) for alpha in alphas]
    for row, cells in enumerate([("", "mean weight α / (1 + α)", "draws under 1/510, which change nothing"), *rows]):
        for left, cell in zip(_COLUMNS, cells, strict=True):
            axes.text(left, row, cell, va="center")
    for row, (colour, dashes) in enumerate(zip(PALETTE[: len(alphas)], _DASHES, strict=False), start=1):
        axes.plot((2, 13), (row, row), color=colour, linestyle=dashes, linewidth=1.2)


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"
