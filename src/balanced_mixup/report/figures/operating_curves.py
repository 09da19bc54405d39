"""ROC and precision-recall curves of each class against all others.

Of more classes than there are colours the rarest have one. Of the others the median and the range of the middle 80 % are
drawn: hundreds of curves on each other would show less. Curves are thinned to what can be seen, so that 50,000 predictions make
a small file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from balanced_mixup.errors import UsageError
from balanced_mixup.report.figures.drawing import GREY, INK, PAGE, Drawing, canvas, house_style, open_panel, width_of
from balanced_mixup.report.figures.labels import COLOURS, DASHES, LINE, put, put_lines, require_names, shortened, sign, wrapped

Floats = npt.NDArray[np.float64]

POINTS = 200  # of a curve, at most

_LEFT, _TOP, _SIDE = 13.0, 4.0, 66.0  # mm
_GRID = np.linspace(0, 1, 101)  # where the curves of the other classes are summarised


@dataclass(frozen=True)
class _Curve:
    """The curve of a class: its number, its images among N, area, and x and y of its points, x rising, each (P,)."""

    index: int
    positives: int
    area: float
    x: Floats
    y: Floats


def roc_curves(y: npt.NDArray[np.integer], probabilities: Floats, classes: Sequence[str]) -> Drawing:
    """Draw the ROC curve of each class against all others, with its area in a list beside it, the rarest class first.

    Of more than seven classes the seven rarest have a curve of their own; of the others the median is drawn and the middle
    80 %. A class with no images, or with all of them, has no curve, and the list says so.

    Args:
        y: (N,), from 0 to K - 1.
        probabilities: (N, K), finite.
        classes: K names.

    Returns:
        The figure, and a row for each point of a curve: class, images, area, false_positive_rate, true_positive_rate, low
        and high (the middle 80 % of the other classes). Classes without a curve of their own have one row without a point.

    Raises:
        UsageError: The arguments are not as described.
    """
    return _curves(y, probabilities, classes, _roc, ("false_positive_rate", "true_positive_rate"), "AUC")


def precision_recall_curves(y: npt.NDArray[np.integer], probabilities: Floats, classes: Sequence[str]) -> Drawing:
    """Draw the precision-recall curve of each class against all others, with its average precision in a list beside it.

    A dotted line is the prevalence of a class: the precision of a guess. The rest is as in `roc_curves`; the columns of a point
    are recall and precision.
    """
    return _curves(y, probabilities, classes, _precision_recall, ("recall", "precision"), "AP")


def _curves(
    y: npt.NDArray[np.integer],
    probabilities: Floats,
    classes: Sequence[str],
    curve: Callable[[npt.NDArray[np.bool_], Floats], tuple[Floats, Floats, float]],
    axes: tuple[str, str],
    area: str,
) -> Drawing:
    _check(y, probabilities, classes)
    counts = np.bincount(y, minlength=len(classes))
    order = [int(k) for k in np.argsort(counts, kind="stable")]
    curves = [
        _Curve(k, int(counts[k]), *_reordered(curve(y == k, probabilities[:, k]))) for k in order if 0 < counts[k] < len(y)
    ]
    without = [k for k in order if not 0 < counts[k] < len(y)]
    named, others = curves[: len(COLOURS)], curves[len(COLOURS) :]
    with house_style():
        figure = canvas(PAGE, _TOP + _SIDE + 11)
        panel = open_panel(figure, _LEFT, _TOP, _SIDE, _SIDE)
        band = _band(others)
        _draw(panel, named, band, axes, len(y) if area == "AP" else 0)
        _list(figure, classes, named, others, [(k, counts[k]) for k in without], area, len(y))
    return Drawing(figure, _numbers(classes, named, others, without, counts, band, axes))


def _check(y: npt.NDArray[np.integer], probabilities: Floats, classes: Sequence[str]) -> None:
    if probabilities.ndim != 2 or y.shape != probabilities.shape[:1] or not len(y) or y.dtype.kind not in "iu":
        raise UsageError(
            f"Expected integers `y` (N,) and `probabilities` (N, K) of one image or more, but got {y.dtype} of shape {y.shape} "
            f"and shape {probabilities.shape}."
        )
    require_names(classes, probabilities.shape[1], "`probabilities` has columns")
    if y.min() < 0 or y.max() >= len(classes):
        raise UsageError(f"Expected labels from 0 to {len(classes) - 1}, but got {y.min()} to {y.max()}.")
    bad = np.flatnonzero(~np.isfinite(probabilities).all(1))
    if len(bad):
        raise UsageError(
            f"Expected finite probabilities, but those of {len(bad)} images are not, row {bad[0]} first; leave them out."
        )


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


def _reordered(found: tuple[Floats, Floats, float]) -> tuple[float, Floats, Floats]:
    """Return area, x and y of a curve, thinned to points that are evenly spread along it."""
    x, y, area = found
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
    """Draw the curves, and what a guess reaches: the diagonal, or, where `images` is not 0, the prevalence of each class."""
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set(xlabel=names[0].replace("_", " "), ylabel=names[1].replace("_", " "))
    if not images:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=(0, (1, 2)))
    if band is not None:
        axes.fill_between(_GRID, band[0], band[2], color=GREY, alpha=0.3, linewidth=0)
        axes.plot(_GRID, band[1], color=GREY, linewidth=1)
    for curve, colour, dashes in reversed(list(zip(named, COLOURS, DASHES, strict=False))):
        axes.plot(curve.x, curve.y, color=colour, linestyle=dashes, linewidth=1.2, clip_on=False)
        if images:
            axes.plot([0, 1], [curve.positives / images] * 2, color=colour, linewidth=0.8, linestyle=(0, (1, 2)))


def _list(
    figure: Figure,
    classes: Sequence[str],
    named: Sequence[_Curve],
    others: Sequence[_Curve],
    without: Sequence[tuple[int, int]],
    area: str,
    images: int,
) -> None:
    """Write beside the panel which curve is whose, with its area and the number of its images."""
    left, value, count = _LEFT + _SIDE + 8, PAGE - 22, PAGE - 4
    middle = _TOP + LINE / 2
    put(figure, left, middle, "class, the rarest first", weight="bold")
    put(figure, value, middle, area, align="right", weight="bold")
    put(figure, count, middle, "images", align="right", weight="bold")
    name_width = value - width_of("0.000") - 3 - left - 9
    for curve, colour, dashes in zip(named, COLOURS, DASHES, strict=False):
        middle += LINE
        sign(figure, left, middle, color=colour, linestyle=dashes, linewidth=1.2)
        put(figure, left + 8, middle, shortened(classes[curve.index], name_width))
        put(figure, value, middle, f"{curve.area:.3f}", align="right")
        put(figure, count, middle, f"{curve.positives:,}", align="right")
    if others:
        middle += LINE
        sign(figure, left, middle, color=GREY, linewidth=1)
        put(figure, left + 8, middle, _one_or("other class", "other classes", len(others)))
        put(figure, value, middle, f"{np.median([curve.area for curve in others]):.3f}", align="right")
        put(figure, count, middle, f"{sum(curve.positives for curve in others):,}", align="right")
    notes = []
    if len(others) > 1:
        low, high = (limit([curve.area for curve in others]) for limit in (min, max))
        notes.append(f"Grey: median of the other classes, and their middle 80%. {area} from {low:.3f} to {high:.3f}.")
    if area == "AP":
        notes += ["AP: average precision.", "Dotted: the share of a class, which a guess reaches."]
    else:
        notes += ["AUC: area under the curve.", "Dotted: a guess."]
    empty = [k for k, number in without if number == 0]
    if empty:
        named_empty = f", {shortened(classes[empty[0]], 40)}" if len(empty) == 1 else ""
        notes.append(f"No curve without images: {_one_or('class', 'classes', len(empty))}{named_empty}.")
    if len(empty) < len(without):
        notes.append("No curve where all images are of one class.")
    put_lines(figure, left, middle + LINE, wrapped(notes, PAGE - 4 - left))


def _one_or(one: str, several: str, count: int) -> str:
    return f"{count} {one if count == 1 else several}"


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
