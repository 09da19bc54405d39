"""Learning curves: loss, learning rate and the score that chose the epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from balanced_mixup.report.figures import style

_ALWAYS = "balanced_accuracy"
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": style.VERMILLION, "marker": "s", "linestyle": "-"},
    {"color": style.ORANGE, "marker": "^", "linestyle": "--"},
)
_KEPT: dict[str, Any] = {"color": style.INK, "linewidth": 0.6, "linestyle": (0, (3, 2))}


@style.figure_style()
def training_curves(history: pd.DataFrame, monitor: str, best_epoch: int, labels: Mapping[str, str]) -> style.Drawing:
    """Draw loss, learning rate, the monitored score and balanced accuracy, and mark the epoch that was kept.

    A value that is not finite leaves a gap; a score that is never finite is labelled undefined.

    Args:
        history: A row for each epoch: epoch, learning_rate, train_loss, `monitor`, balanced_accuracy, as in history.csv.
        monitor: The score on validation data that chose the epoch.
        best_epoch: The epoch that was kept, one of the history.
        labels: Labels of the scores; the name if missing.

    Returns:
        The figure, and a row for each epoch: the columns above, and whether it was kept.
    """
    scores = list(dict.fromkeys([monitor, _ALWAYS]))
    columns = ["epoch", "learning_rate", "train_loss", *scores]
    # A loss that overflowed cannot be shown.
    numbers = history[columns].astype(float).replace([np.inf, -np.inf], np.nan).astype({"epoch": int})
    numbers["kept"] = numbers["epoch"] == best_epoch
    kept = numbers[numbers["kept"]].iloc[0]
    figure = style.new_figure(style.PAGE, 70)
    panels = figure.subplot_mosaic([["loss", "score"], ["rate", "score"]], height_ratios=[3, 1])
    size = 3.0 if len(numbers) <= 40 else 1.0
    _curve(panels["loss"], numbers, "train_loss", size, color=style.BLUE, marker="o")
    _curve(panels["rate"], numbers, "learning_rate", size, color=style.GREY, marker=".")
    entries = []
    for name, look in zip(scores, _LOOKS, strict=False):
        _curve(panels["score"], numbers, name, size, **look)
        value = f"{kept[name]:.3f}" if pd.notna(kept[name]) else "undefined"
        entries.append(
            style.handle(f"{style.short_name(labels.get(name, name))}: {value} in epoch {best_epoch}", **look, markersize=3)
        )
    for title, axes, shown in (
        ("Training loss", panels["loss"], ["train_loss"]),
        ("Learning rate", panels["rate"], ["learning_rate"]),
        ("Scores on validation data", panels["score"], scores),
    ):
        axes.set_title(title)  # above the panel: a label at the side would be longer than the lowest panel is high
        axes.yaxis.set_major_locator(MaxNLocator(2 if shown == ["learning_rate"] else 6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))  # no power of ten over the panel
        if numbers[shown].isna().all(axis=None):
            axes.set_yticks([])
            axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", va="center")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.axvline(best_epoch, **_KEPT, zorder=0)
        low, high = numbers["epoch"].min(), numbers["epoch"].max()
        axes.set_xlim(low - 0.5, high + max(0.5, 0.03 * (high - low)))
    panels["loss"].tick_params(labelbottom=False)
    panels["rate"].set(xlabel="epoch", ylim=(0, None))
    panels["score"].set_xlabel("epoch")
    style.legend_below(figure, [*entries, style.handle(f"epoch {best_epoch} was kept", **_KEPT)])
    return style.Drawing(figure, numbers)


def _curve(axes: Axes, numbers: pd.DataFrame, name: str, size: float, **look: Any) -> None:
    axes.plot(numbers["epoch"], numbers[name], markersize=size, **look)
