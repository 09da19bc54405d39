"""Figure 2: how Balanced-MixUp fills the space between rare and frequent classes, on points or on real embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from torch import Tensor

from balanced_mixup.errors import UsageError
from balanced_mixup.methods import METHODS
from balanced_mixup.paper.figure2_training import Epochs, Floats, Samples, trained
from balanced_mixup.randomness import generator
from balanced_mixup.report.figures import style

COLOURS = (style.BLUE, style.ORANGE, style.VERMILLION, style.GREEN, style.PURPLE, style.SKY, style.INK)
PANELS = {"instance": "Imbalanced data", "balanced-mixup": "Balanced-MixUp", "mixup": "MixUp"}

_GRID = 240
_BETWEEN = 0.1, 0.9  # weights at which a sample lies clearly between two
_EDGED = 3.0  # square points: a smaller marker would be nothing but edge
_MANY = 2000  # number of points above which a vector graphic would be too large


@dataclass(frozen=True)
class _Plane:
    """The data that all panels share.

    points: float32 (N, 2). labels: int64 (N,). classes: K names. counts: (K,), points of each. colours: (K, 3). areas: (K,),
    of a marker, in square points; small classes have large ones. axes: axis labels.
    """

    points: Floats
    labels: npt.NDArray[np.int64]
    classes: Sequence[str]
    counts: npt.NDArray[np.int64]
    colours: Floats
    areas: Floats
    axes: tuple[str, str]


def imbalanced_points(seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64], list[str]]:
    """Return points (372, 2) of three overlapping classes, their labels (372,) and names: 300, 60 and 12 of them."""
    centres, spreads, counts = [(-0.6, 0.0), (1.1, 0.8), (0.7, -1.0)], (0.75, 0.55, 0.45), (300, 60, 12)
    labels = np.repeat(np.arange(3), counts)
    noise = generator(seed, "schematic").normal(size=(len(labels), 2))
    points = np.array(centres)[labels] + noise * np.array(spreads)[labels, None]
    return points.astype(np.float32), labels, ["frequent", "less frequent", "rare"]


@style.figure_style()
def figure2(
    points: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    classes: Sequence[str],
    *,
    alpha: float = 0.2,
    seed: int = 0,
    axes: tuple[str, str] = ("", ""),
) -> style.Drawing:
    """Draw the data, an epoch of Balanced-MixUp and one of MixUp, as Fig. 2 of the paper, each with a classifier's regions.

    The colour of a sample is mixed like its target. The regions are those of a small network trained on such samples,
    anew each epoch, with their soft targets; the lines are where its prediction changes. Small classes have large markers, on
    top, and what is clearly mixed has an edge unless its marker is tiny. Of more than seven classes the three largest and the
    three smallest have a colour; the others share a grey.

    Args:
        points: (N, 2).
        labels: (N,), from 0 to K - 1; each class has a point.
        classes: K names, at least 2.
        alpha: Of Balanced-MixUp, Beta(alpha, 1), and of MixUp, Beta(alpha, alpha); at most 100.
        seed: Seed of the draws and of the initial weights.
        axes: Axis labels.

    Returns:
        The figure, and a row for each sample: panel, x, y, weight of its partner, and target_<class> for each class.

    Raises:
        UsageError: The arguments are not as described.
    """
    _check(points, labels, classes, 2)
    if not 0 < alpha <= 100:
        raise UsageError(f"Expected `alpha` to be a number above 0 and at most 100, but got {alpha}.")
    counts = np.bincount(labels)
    colours, areas = _markers(counts)
    plane = _Plane(points.astype(np.float32), labels.astype(np.int64), classes, counts, colours, areas, axes)
    entries = _entries(plane)
    figure = style.new_figure(style.PAGE, 70 + (4 if any(axes) else 0) + style.LINE * len(entries) / 2)
    panels = figure.subplots(1, len(PANELS))
    tables = [_draw(panel, plane, name, alpha, seed) for panel, name in zip(panels, PANELS, strict=True)]
    panels[0].set_ylabel(axes[1])
    style.legend_below(figure, entries)
    return style.Drawing(figure, pd.concat(tables, ignore_index=True))


def figure2_of_embeddings(
    embeddings: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    classes: Sequence[str],
    *,
    alpha: float = 0.2,
    seed: int = 0,
) -> style.Drawing:
    """Draw Figure 2 of real embeddings (N, D), reduced to the plane of their first two principal components.

    Mixing and training happen in that plane. Arguments, result and errors are otherwise those of `figure2`.
    """
    from sklearn.decomposition import PCA

    _check(embeddings, labels, classes, None)
    # Exact and deterministic; the default is randomised for large inputs.
    reduction = PCA(2, svd_solver="covariance_eigh")
    points = reduction.fit_transform(embeddings)
    first, second = (f"principal component {i} ({share:.0%})" for i, share in enumerate(reduction.explained_variance_ratio_, 1))
    return figure2(points, labels, classes, alpha=alpha, seed=seed, axes=(first, second))


def _check(
    points: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], classes: Sequence[str], dimensions: int | None
) -> None:
    """Check points (N, `dimensions`), or (N, D) with D >= 2 where None, their labels and the class names."""
    if points.ndim != 2 or points.shape[1] < 2 or points.shape[1] != (dimensions or points.shape[1]):
        wanted = f"(N, {dimensions or 'D'})"
        raise UsageError(f"Expected points of shape {wanted}, at least two numbers each, but got {points.shape}.")
    if not np.isfinite(points).all():
        raise UsageError(f"Expected finite points, but row {int((~np.isfinite(points)).any(1).argmax())} is not.")
    if len(classes) < 2 or set(labels.tolist()) != set(range(len(classes))) or labels.shape != points.shape[:1]:
        raise UsageError(
            f"Expected a label from 0 to {len(classes) - 1} for each point, and points of each of two or more classes."
        )


def _markers(counts: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return a colour (K, 3) and the area of a marker (K,) in square points for each class; small classes have large ones."""
    colours = np.tile(np.array(to_rgb(style.GREY), np.float32), (len(counts), 1))
    areas = np.ones(len(counts), np.float32)
    named = _named(counts)
    colours[named] = [to_rgb(colour) for colour in COLOURS[: len(named)]]
    areas[named] = np.clip(1500 / counts[named], 1.0, 9.0)
    return colours, areas


def _named(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the classes that have a colour of their own, from the largest to the smallest."""
    order = np.argsort(-counts, kind="stable")
    return order if len(order) <= len(COLOURS) else np.concatenate([order[:3], order[-3:]])


def _draw(axes: Axes, plane: _Plane, name: str, alpha: float, seed: int) -> pd.DataFrame:
    """Draw the panel of a method and return its numbers."""
    chosen = METHODS[name]
    mixes = "alpha" in chosen.model_fields
    method = chosen(**({"alpha": alpha} if mixes else {}))
    epochs = Epochs(plane.points, plane.labels, method, seed)
    samples = epochs.samples(0, epochs.n)
    axes.set(xticks=[], yticks=[], xlabel=plane.axes[0])
    axes.spines[["top", "right"]].set_visible(True)
    _draw_regions(axes, plane, trained(epochs))
    _draw_samples(axes, plane, samples)
    rarest = float(samples.targets[:, int(plane.counts.argmin())].mean())
    title = PANELS[name] + (f", α = {alpha:g}" if mixes else "")
    axes.set_title(f"{title}\nsmallest class: {rarest:.1%} of the targets")
    return _numbers(plane, name, samples)


def _draw_regions(axes: Axes, plane: _Plane, classify: Callable[[Tensor], Tensor]) -> None:
    """Colour the plane by the classifier's probabilities, and draw a line where its prediction changes."""
    low, high = plane.points.min(0), plane.points.max(0)
    low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
    x, y = (np.linspace(low[i], high[i], _GRID, dtype=np.float32) for i in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    probabilities = classify(torch.from_numpy(grid)).numpy().reshape(_GRID, _GRID, -1)
    pale = 1 - 0.3 * (1 - probabilities @ plane.colours)
    axes.imshow(pale, extent=(low[0], high[0], low[1], high[1]), origin="lower", aspect="auto", interpolation="bilinear")
    for k in range(probabilities.shape[-1]):
        lead = probabilities[..., k] - np.delete(probabilities, k, axis=-1).max(-1)
        if lead.min() < 0 < lead.max():
            axes.contour(x, y, lead, levels=[0.0], colors=style.INK, linewidths=0.5)


def _draw_samples(axes: Axes, plane: _Plane, samples: Samples) -> None:
    """Draw the samples, colours and sizes mixed like their targets; clearly mixed ones have an edge."""
    weight, targets = samples.weight.numpy(), samples.targets.numpy()
    areas = targets @ plane.areas
    between = (weight >= _BETWEEN[0]) & (weight <= _BETWEEN[1])
    order = np.argsort(areas, kind="stable")  # small classes above large ones
    x, y = samples.points.numpy()[order].T
    axes.scatter(
        x,
        y,
        s=areas[order],
        c=np.clip(targets @ plane.colours, 0, 1)[order],
        edgecolors=style.INK,
        linewidths=np.where(between & (areas >= _EDGED), 0.4, 0.0)[order].tolist(),
        rasterized=len(weight) > _MANY,
    )


def _entries(plane: _Plane) -> list[Line2D]:
    """Return the entries of the legend: a colour for each class, and what an edge means."""

    def marker(text: str, colour: str, edge: str) -> Line2D:
        return style.handle(text, linestyle="", marker="o", color=colour, markeredgecolor=edge)

    counts, named = plane.counts, _named(plane.counts)
    entries = [
        marker(f"{style.short_name(plane.classes[k], 60)} ({counts[k]:,})", *[to_hex(plane.colours[k])] * 2) for k in named
    ]
    if len(named) < len(counts):
        others = np.delete(counts, named)
        entries.insert(3, marker(f"{len(others)} others ({others.min():,} to {others.max():,} each)", style.GREY, style.GREY))
    if plane.areas.max() >= _EDGED:
        entries.append(marker("mixed, weight {} to {}".format(*_BETWEEN), "white", style.INK))
    return entries


def _numbers(plane: _Plane, name: str, samples: Samples) -> pd.DataFrame:
    x, y = samples.points.numpy().T
    targets = {f"target_{title}": column for title, column in zip(plane.classes, samples.targets.numpy().T, strict=True)}
    return pd.DataFrame({"panel": name, "x": x, "y": y, "weight": samples.weight.numpy(), **targets})
