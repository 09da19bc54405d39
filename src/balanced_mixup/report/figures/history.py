"""How a training went: loss, learning rate and the score that chose the epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PAGE,
    VERMILLION,
    Drawing,
    canvas,
    house_style,
    open_panel,
    write,
)
from balanced_mixup.report.figures.labels import put, require_columns, shortened, sign

_ALWAYS = "balanced_accuracy"
_LEFT, _TOP, _WIDTH, _HEIGHT, _RATE = 16.0, 10.0, 60.0, 42.0, 9.0  # mm: the first panel, and the learning rate below it
_SCORES, _SCORES_WIDTH, _LABEL = 92.0, 42.0, 26.0  # mm: the second panel, and what is written at its right
_GAP = 6.8  # mm between two labels of two lines


def training_curves(history: pd.DataFrame, monitor: str, best_epoch: int, labels: Mapping[str, str]) -> Drawing:
    """Draw loss, learning rate, the monitored score and balanced accuracy, and mark the epoch that was kept.

    A value that is not finite leaves a gap; a score that never was says so.

    Args:
        history: A row for each epoch: epoch, learning_rate, train_loss, `monitor`, balanced_accuracy, as in history.csv.
        monitor: The score on validation data that chose the epoch.
        best_epoch: The epoch that was kept.
        labels: What to call the scores; those without an entry have their own name.

    Returns:
        The figure, and a row for each epoch: the columns above, and whether it was kept.

    Raises:
        UsageError: There is no epoch, a column is missing, or the kept epoch is none of them.
    """
    scores = list(dict.fromkeys([monitor, _ALWAYS]))
    columns = ["epoch", "learning_rate", "train_loss", *scores]
    require_columns(history, columns, "a history")
    epochs = history["epoch"].tolist()
    if best_epoch not in epochs:
        raise UsageError(f"Expected `best_epoch` to be an epoch of the history, but got {best_epoch} and {len(epochs)} epochs.")
    # A loss that overflowed cannot be shown.
    numbers = history[columns].astype(float).replace([np.inf, -np.inf], np.nan).astype({"epoch": int})
    numbers["kept"] = numbers["epoch"] == best_epoch
    with house_style():
        figure = canvas(PAGE, _TOP + _HEIGHT + 10)
        write(figure, 2, 2, "a", bold=True)
        write(figure, 5, 2, "Training")
        write(figure, _SCORES - 10, 2, "b", bold=True)
        write(figure, _SCORES - 7, 2, "Validation")
        loss = open_panel(figure, _LEFT, _TOP, _WIDTH, _HEIGHT - _RATE - 3)
        rate = open_panel(figure, _LEFT, _TOP + _HEIGHT - _RATE, _WIDTH, _RATE)
        score = open_panel(figure, _SCORES, _TOP, _SCORES_WIDTH, _HEIGHT)
        _curve(loss, numbers, "train_loss", BLUE, "o", "-")
        _curve(rate, numbers, "learning_rate", GREY, ".", "-")
        styles = dict(zip(scores, ((VERMILLION, "s", "-"), (ORANGE, "^", "--")), strict=False))
        for name, (colour, marker, dashes) in styles.items():
            _curve(score, numbers, name, colour, marker, dashes)
        for axes in (loss, rate, score):
            _epochs(axes, numbers)
        for axes, text in ((loss, "loss"), (rate, "learning rate")):
            axes.set_ylabel(text)
            axes.yaxis.set_label_coords(-(_LEFT - 4) / _WIDTH, 0.5)
        loss.tick_params(labelbottom=False)
        rate.set_yticks(*_rate_ticks(numbers["learning_rate"]))
        rate.set_ylim(0, None)
        _mark(score, numbers, styles)
        _name(figure, score, numbers, styles, labels)
    return Drawing(figure, numbers)


def _curve(axes: Axes, numbers: pd.DataFrame, name: str, colour: str, marker: str, dashes: str) -> None:
    size = 3.0 if len(numbers) <= 40 else 1.0
    axes.plot(numbers["epoch"], numbers[name], color=colour, marker=marker, linestyle=dashes, markersize=size, linewidth=1)


def _epochs(axes: Axes, numbers: pd.DataFrame) -> None:
    """Set the axis of the epochs, and mark the kept one."""
    low, high = numbers["epoch"].min(), numbers["epoch"].max()
    axes.set_xlim(low - 0.5, high + max(0.5, 0.03 * (high - low)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True) if high > low else FixedLocator([low]))
    if not any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in axes.lines):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", va="center")
    axes.set_xlabel("epoch" if axes.get_position().y0 < 0.3 else "")
    axes.axvline(numbers.loc[numbers["kept"], "epoch"].iloc[0], color=INK, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)


def _rate_ticks(rates: pd.Series) -> tuple[list[float], list[str]]:
    highest = float(rates.max())
    return ([0.0, highest], ["0", f"{highest:.1g}"]) if highest > 0 else ([0.0], ["0"])


def _mark(axes: Axes, numbers: pd.DataFrame, styles: Mapping[str, tuple[str, str, str]]) -> None:
    """Ring the scores of the kept epoch, and say above which one it is."""
    kept = numbers[numbers["kept"]]
    for name in styles:
        ring: dict[str, Any] = {"markersize": 7, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 0.8}
        axes.plot(kept["epoch"], kept[name], marker="o", linestyle="none", **ring)
    epoch = int(kept["epoch"].iloc[0])
    low, high = axes.get_xlim()
    align = "left" if epoch < low + 0.3 * (high - low) else "right" if epoch > low + 0.7 * (high - low) else "center"
    axes.text(epoch, 1.02, f"epoch {epoch} was kept", transform=axes.get_xaxis_transform(), ha=align, va="bottom")


def _name(
    figure: Figure,
    axes: Axes,
    numbers: pd.DataFrame,
    styles: Mapping[str, tuple[str, str, str]],
    labels: Mapping[str, str],
) -> None:
    """Write at the end of each curve which score it is, and what it is in the kept epoch."""
    low, high = axes.get_ylim()
    last = {name: numbers[name].dropna() for name in styles}
    ends = [
        _TOP + _HEIGHT * (1 - (values.iloc[-1] - low) / (high - low)) if len(values) else _TOP + _HEIGHT / 2
        for values in last.values()
    ]
    kept = numbers[numbers["kept"]].iloc[0]
    for middle, (name, (colour, marker, dashes)) in zip(_apart(ends), styles.items(), strict=True):
        left = _SCORES + _SCORES_WIDTH + 2
        sign(figure, left, middle - 1.7, width=5, color=colour, marker=marker, linestyle=dashes, markersize=3, linewidth=1)
        put(figure, left + 6, middle - 1.7, shortened(labels.get(name, name), _LABEL))
        value = f"{kept[name]:.3f}" if pd.notna(kept[name]) else "undefined"
        put(figure, left + 6, middle + 1.7, value)


def _apart(ends: list[float]) -> list[float]:
    """Return one or two positions moved apart until both labels have room, inside of the panel."""
    if len(ends) == 2 and abs(ends[0] - ends[1]) < _GAP:
        middle, half = sum(ends) / 2, _GAP / 2 if ends[0] > ends[1] else -_GAP / 2
        ends = [middle + half, middle - half]
    return [min(max(end, _TOP + 2), _TOP + _HEIGHT - 2) for end in ends]
