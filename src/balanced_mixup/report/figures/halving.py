"""Successive halving: the validation score of each training against its time, and where it was dropped."""

import pandas as pd
from matplotlib.ticker import MaxNLocator

from balanced_mixup.report.figures import style
from balanced_mixup.report.figures.cost import look_of, unit_of
from balanced_mixup.words import counted


@style.figure_style()
def halving_paths(points: pd.DataFrame, score: str = "score") -> style.Drawing:
    """Draw a line for each training, in the order in which they were begun.

    Args:
        points: A row for each epoch of each training: method, seconds (since its start), score, fate (of the training:
            "finished" or how else it ended).
        score: Name of the score.

    Returns:
        The figure, and the rows.
    """
    numbers = points.reset_index(drop=True)
    methods = list(dict.fromkeys(numbers["method"]))
    figure = style.new_figure(style.PAGE, 80 + style.LINE * len(methods) / 2)
    axes = figure.subplots()
    unit, size = unit_of(float(numbers["seconds"].max()))
    entries = []
    for index, method in enumerate(methods):
        own = numbers[numbers["method"] == method]
        colour = look_of(index)["color"]
        finished = own["fate"].iloc[0] == "finished"
        end = {"color": colour, "marker": "o" if finished else "x", "markersize": 5.0, "linestyle": "none"}
        axes.plot(own["seconds"] / size, own["score"], color=colour, linewidth=1.2)
        axes.plot(own["seconds"].iloc[-1:] / size, own["score"].iloc[-1:], **end)
        entries.append(
            style.handle(f"{style.short_name(method, 24)}: {own['fate'].iloc[0]}, {counted(len(own), 'epoch')}", **end)
        )
    axes.set(xlabel=f"training time ({unit})", ylabel=f"{style.short_name(score, 24)} on validation", xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    style.legend_below(figure, entries)
    best = numbers.sort_values("score", kind="stable").iloc[-1]
    return style.Drawing(figure, numbers, f"The highest is {best['score']:.3f}, by {best['method']}.")
