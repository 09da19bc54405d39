"""Figure 3: Beta(alpha, 1), the distribution of the class-balanced image's weight in Balanced-MixUp."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing import NEGLIGIBLE
from balanced_mixup.report.figures import style

ALPHAS = (0.1, 0.2, 0.3, 1.0)

_DENSITY_END = 3.0
_SMALLEST = 1e-4


@style.figure_style()
def figure3(alphas: Sequence[float] = ALPHAS) -> style.Drawing:
    """Draw density and distribution of w ~ Beta(alpha, 1), with an explanation below, as Fig. 3 of the paper.

    The density alpha w^(alpha - 1) has no bound at 0, so it is cut off at 3, as noted on the axis. The distribution w^alpha
    is drawn over log w, where it shows how many draws are under 1/510 and so do not change an 8-bit image.

    Args:
        alphas: One to six different numbers above 0.

    Returns:
        The figure, and a row for each point of the curves: alpha, mean_weight alpha / (1 + alpha), unchanged (1/510)^alpha,
        weight, density, distribution.

    Raises:
        UsageError: `alphas` are not as described.
    """
    if not 1 <= len(alphas) <= len(style.PALETTE) or len(set(alphas)) < len(alphas):
        raise UsageError(f"Expected one to {len(style.PALETTE)} different values of `alpha`, but got {list(alphas)}.")
    if not all(np.isfinite(alpha) and alpha > 0 for alpha in alphas):
        raise UsageError(f"Expected each `alpha` to be a number above 0, but got {list(alphas)}.")
    figure = style.new_figure(style.PAGE, 60 + style.LINE * len(alphas))
    density, distribution = figure.subplots(1, 2)
    curves, entries = [], []
    for alpha, colour, dashes in zip(alphas, style.PALETTE, style.DASHES, strict=False):
        weight = np.geomspace(_SMALLEST, 1, 301)
        shares = {"mean_weight": alpha / (1 + alpha), "unchanged": NEGLIGIBLE**alpha}
        values = {"weight": weight, "density": alpha * weight ** (alpha - 1), "distribution": weight**alpha}
        curves.append(pd.DataFrame({"alpha": alpha, **shares, **values}))
        look = {"color": colour, "linestyle": dashes, "linewidth": 1.2}
        density.plot(weight, values["density"], **look)
        distribution.plot(weight, values["distribution"], **look)
        text = (
            f"α = {alpha:g}: mean weight α / (1 + α) = {shares['mean_weight']:.3f}, {_share(shares['unchanged'])} of the draws"
        )
        entries.append(style.handle(f"{text} under 1/510, without effect", **look))
    density.set(xlim=(0, 1), ylim=(0, _DENSITY_END), xlabel="weight w of the class-balanced image", title="a")
    density.set_ylabel(f"density (cut off at {_DENSITY_END:g})")
    distribution.set_xscale("log")
    distribution.set(xlim=(_SMALLEST, 1), ylim=(0, 1), xlabel="weight w (log scale)", ylabel="proportion of draws below w")
    distribution.xaxis.set_major_locator(LogLocator(numticks=5))
    distribution.xaxis.set_major_formatter(FuncFormatter(lambda weight, _: f"{weight:g}"))
    distribution.xaxis.set_minor_locator(NullLocator())
    distribution.yaxis.set_major_formatter(PercentFormatter(1))
    distribution.axvspan(_SMALLEST, NEGLIGIBLE, color=style.GREY, alpha=0.18, linewidth=0)
    distribution.set_title("b   grey: w < 1/510, no effect")
    style.legend_below(figure, entries)
    return style.Drawing(figure, pd.concat(curves, ignore_index=True))


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"
