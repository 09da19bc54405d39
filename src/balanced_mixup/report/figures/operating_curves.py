"""ROC and precision-recall curves of each class against all others.

If there are more classes than colours, the rarest have their own curves, and the others are summarised by their median and
middle 80%. Curves are thinned to visible detail, so that 50,000 predictions make a small file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from balanced_mixup.report.figures import style
from balanced_mixup.statistics.scoring import FEW_IN_CLASS
from balanced_mixup.words import counted

Floats = npt.NDArray[np.float64]

POINTS = 200  # of a curve, at most

_GRID = np.linspace(0, 1, 101)  # where the curves of the other classes are summarised
_DOTTED: dict[str, Any] = {"linewidth": 0.8, "linestyle": (0, (1, 2))}


@dataclass(frozen=True)
class _Curve:
    """The curve of a class: its number, its images among N, area, and x and y of its points, x rising, each (P,)."""

    index: int
    positives: int
    area: float
    x: Floats
    y: Floats

    @property
    def few(self) -> bool:
        """Whether it is of so few images that its area would look more certain than it is."""
        return self.positives < FEW_IN_CLASS

    @property
    def shown_area(self) -> str:
        """The area as it is shown, a dash if it is of few images."""
        return "–" if self.few else f"{self.area:.3f}"


def roc_curves(y: npt.NDArray[np.integer], probabilities: Floats, classes: Sequence[str]) -> style.Drawing:
    """Draw the ROC curve of each class against all others, with its area in the legend, the rarest class first.

    Of more than seven classes the seven rarest have a curve of their own; of the others the median is drawn and the middle
    80%. A class with no images, or with all of them, has no curve, as the legend notes; one with fewer than 10 a curve, but no
    area in the legend.

    Args:
        y: (N,), from 0 to K - 1.
        probabilities: (N, K), finite.
        classes: K names.

    Returns:
        The figure, and a row for each point of a curve: class, images, area, false_positive_rate, true_positive_rate, low
        and high (the middle 80% of the other classes). Classes without a curve of their own have one row without a point.

    Raises:
        UsageError: The arguments are not as described.
    """
    return _curves(y, probabilities, classes, _roc, ("false_positive_rate", "true_positive_rate"), "AUC")


def precision_recall_curves(y: npt.NDArray[np.integer], probabilities: Floats, classes: Sequence[str]) -> style.Drawing:
    """Draw the precision-recall curve of each class against all others, with its average precision in the legend.

    A dotted line is the prevalence of a class: the precision of random guessing. The rest is as in `roc_curves`; the columns
    of a point are recall and precision.
    """
    return _curves(y, probabilities, classes, _precision_recall, ("recall", "precision"), "AP")


@style.figure_style()
def _curves(
    y: npt.NDArray[np.integer],
    probabilities: Floats,
    classes: Sequence[str],
    curve: Callable[[npt.NDArray[np.bool_], Floats], tuple[Floats, Floats, float]],
    axes: tuple[str, str],
    area: str,
) -> style.Drawing:
    counts = np.bincount(y, minlength=len(classes))
    order = [int(k) for k in np.argsort(counts, kind="stable")]
    curves = [
        _Curve(k, int(counts[k]), *_thinned(*curve(y == k, probabilities[:, k]))) for k in order if 0 < counts[k] < len(y)
    ]
    without = [k for k in order if not 0 < counts[k] < len(y)]
    named, others = curves[: len(style.COLOURS)], curves[len(style.COLOURS) :]
    band = _band(others)
    figure = style.new_figure(style.PAGE, 76)
    panel = figure.subplots()
    _draw(panel, named, band, axes, len(y) if area == "AP" else 0)
    entries = [
        style.handle(
            f"{style.short_name(classes[one.index])}: {one.shown_area}, {counted(one.positives, 'image')}",
            color=colour,
            linestyle=dashes,
        )
        for one, colour, dashes in zip(named, style.COLOURS, style.DASHES, strict=False)
    ]
    if others:
        median, images = np.median([one.area for one in others]), sum(one.positives for one in others)
        entries.append(
            style.handle(f"{counted(len(others), 'other class')}: {median:.3f}, {counted(images, 'image')}", color=style.GREY)
        )
    notes = _notes(classes, others, [(k, int(counts[k])) for k in without], area)
    if any(one.few for one in named):
        notes.append(f"–: fewer than {FEW_IN_CLASS} images, of which the curve says little.")
    style.legend_right(figure, entries, *notes)
    areas = ", ".join(f"{classes[one.index]} {one.shown_area}" for one in named) or "none"
    across, up = (name.replace("_", " ") for name in axes)
    numbers = _numbers(classes, named, others, without, counts, band, axes)
    return style.Drawing(figure, numbers, f"Curves of {up} against {across}, each class against all others. {area}: {areas}.")


def _roc(positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats, float]:
    from sklearn.metrics import auc, roc_curve

    false, true, _ = roc_curve(positive, scores, drop_intermediate=True)
    return false, true, float(auc(false, true))


def _precision_recall(positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats, float]:
    """Return the steps that average precision is the area under."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positive, scores, drop_intermediate=True)
    # Each recall, rising, with the precision at which it is first reached: that of the step which ends there.
    recall, first = np.unique(recall[::-1], return_index=True)
    precision = precision[::-1][first][1:]
    return np.repeat(recall, 2)[1:-1], np.repeat(precision, 2), float(np.diff(recall) @ precision)


def _thinned(x: Floats, y: Floats, area: float) -> tuple[float, Floats, Floats]:
    """Return area, x and y of a curve, thinned to points that are evenly spread along it."""
    if len(x) > POINTS:
        along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)).clip(max=len(x) - 1))
        kept = np.union1d(kept, [0, len(x) - 1])
        x, y = x[kept], y[kept]
    return area, x, y


def _band(others: Sequence[_Curve]) -> Floats | None:
    """Return low, median and high (3, 101) of the other classes' curves over `_GRID`."""
    if not others:
        return None
    heights = np.stack([np.interp(_GRID, curve.x, curve.y) for curve in others])
    return np.asarray(np.quantile(heights, [0.1, 0.5, 0.9], axis=0))


def _draw(axes: Axes, named: Sequence[_Curve], band: Floats | None, names: tuple[str, str], images: int) -> None:
    """Draw the curves, and what chance reaches: the diagonal, or, where `images` is not 0, the prevalence of each class."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set(xlabel=names[0].replace("_", " "), ylabel=names[1].replace("_", " "))
    if not images:
        axes.plot([0, 1], [0, 1], color=style.INK, **_DOTTED)
    if band is not None:
        axes.fill_between(_GRID, band[0], band[2], color=style.GREY, alpha=0.3, linewidth=0)
        axes.plot(_GRID, band[1], color=style.GREY)
    for curve, colour, dashes in reversed(list(zip(named, style.COLOURS, style.DASHES, strict=False))):
        axes.plot(curve.x, curve.y, color=colour, linestyle=dashes, linewidth=1.2)
        if images:
            axes.plot([0, 1], [curve.positives / images] * 2, color=colour, **_DOTTED)


def _notes(classes: Sequence[str], others: Sequence[_Curve], without: Sequence[tuple[int, int]], area: str) -> list[str]:
    if area == "AP":
        notes = [
            "Average precision (AP) of each class, the rarest first. Dotted: prevalence of the class, the precision of chance."
        ]
    else:
        notes = ["Area under the curve (AUC) of each class, the rarest first. Dotted: chance."]
    if len(others) > 1:
        low, high = (limit([curve.area for curve in others]) for limit in (min, max))
        notes.append(f"Grey: median of the other classes, and their middle 80%; {area} from {low:.3f} to {high:.3f}.")
    empty = [k for k, number in without if number == 0]
    if empty:
        which = f"1 class, {style.short_name(classes[empty[0]])}" if len(empty) == 1 else f"{len(empty)} classes"
        notes.append(f"No curve without images: {which}.")
    if len(empty) < len(without):
        notes.append("No curve where all images are of one class.")
    return notes


def _numbers(
    classes: Sequence[str],
    named: Sequence[_Curve],
    others: Sequence[_Curve],
    without: Sequence[int],
    counts: npt.NDArray[np.int64],
    band: Floats | None,
    axes: tuple[str, str],
) -> pd.DataFrame:
    x, y = axes
    tables = [
        pd.DataFrame({"class": classes[curve.index], "images": curve.positives, "area": curve.area, x: curve.x, y: curve.y})
        for curve in named
    ]
    if band is not None:
        images, area = sum(curve.positives for curve in others), float(np.median([curve.area for curve in others]))
        median = {"class": f"{len(others)} others, median", "images": images, "area": area, x: _GRID, y: band[1]}
        tables.append(pd.DataFrame({**median, "low": band[0], "high": band[2]}))
    single = [(classes[curve.index], curve.positives, curve.area) for curve in others]
    single += [(classes[k], int(counts[k]), np.nan) for k in without]
    tables += [pd.DataFrame(single, columns=["class", "images", "area"])] if single else []
    columns = ["class", "images", "area", x, y, *(["low", "high"] if band is not None else [])]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)
