"""Finding the disc of the retina in a fundus photograph, so that all photographs can be cropped alike.

The camera shows the retina as a bright disc on a dark background. Its edge is where the picture becomes brighter than the
background, and a circle is fitted to it by consensus: what is not an arc of it (a notch that marks the upper side, a reflex or
haze over the rim, text beside the disc, the straight edge of a truncated disc) is outvoted, not averaged in. The crop is the
square about the circle, so that a disc truncated at top and bottom keeps its shape and scale.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage, optimize

Floats = npt.NDArray[np.float64]

_SIDE = 512  # longer side, in pixels, at which the disc is searched for
_CONTRAST = 8.0  # grey levels between disc and background below which there is no visible disc
_EDGE = 0.12  # fraction of that contrast at which the disc begins: its rim is darker than its middle
_TOLERANCE = 0.012  # largest distance from the circle, in radii, of a point of the edge that lies on it
_VOTERS = 36  # points of the edge that propose circles
_MAJORITY = 0.4  # fraction of the edge that has to lie on the circle


class Box(NamedTuple):
    """A square in pixels, right and bottom excluded; it may extend beyond the picture, where it is black."""

    left: int
    top: int
    right: int
    bottom: int


def find_disc(image: npt.NDArray[np.uint8]) -> Box | None:
    """Return the smallest square about the disc of the retina, or None if there is no disc.

    A disc without any arc of its edge in the picture (which is cropped within it) is bounded by its visible area.

    Args:
        image: RGB uint8 (H, W, 3), in any size.
    """
    step = max(1, -(-max(image.shape[:2]) // _SIDE))
    level = _brightness(image, step)
    mask = _mask(level)
    if mask is None:
        return None
    circle = _circle(_edge(mask), level.shape)
    if circle is None:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        bounds = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
        x, y, radius = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, (bounds[2:] - bounds[:2]).max() / 2
    else:
        x, y, radius = circle
    side = max(1, round(2 * radius * step))
    left, top = round((x - radius) * step), round((y - radius) * step)
    return Box(left, top, left + side, top + side)


def _brightness(image: npt.NDArray[np.uint8], step: int) -> Floats:
    """Return the brightest channel of the mean of each block of `step` x `step` pixels, without speckles."""
    level = np.asarray(Image.fromarray(image).reduce(step), np.float64).max(-1)
    return np.asarray(ndimage.median_filter(level, 3, mode="nearest"), np.float64)


def _mask(level: Floats) -> npt.NDArray[np.bool_] | None:
    """Return which pixels belong to the disc, bool (h, w), or None if there is no contrast.

    The background is the darkest corner: haze or a reflex seldom reaches all four. If all corners are as bright as the middle,
    the picture lies within the disc, which then is all of it.
    """
    height, width = level.shape
    h, w = max(1, height // 25), max(1, width // 25)
    corners = [np.median(level[rows, columns]) for rows, columns in product((np.s_[:h], np.s_[-h:]), (np.s_[:w], np.s_[-w:]))]
    background = min(corners)
    centre = level[height // 4 : height - height // 4, width // 4 : width - width // 4]
    middle = np.quantile(centre, 0.75)  # of the retina, even if dark background or a dark macula fills half of the centre
    if middle - background < _CONTRAST:
        return np.ones(level.shape, bool) if background >= _CONTRAST else None
    bright = level > background + max(_EDGE * (middle - background), _CONTRAST / 4)
    regions, _ = ndimage.label(ndimage.binary_opening(bright, iterations=2))  # removes speckles and lines that touch the disc
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    if not sizes.any():
        return None
    return np.asarray(ndimage.binary_fill_holes(regions == sizes.argmax()), np.bool_)


def _edge(mask: npt.NDArray[np.bool_]) -> Floats:
    """Return the x and y (N, 2) where rows and columns enter and leave the disc, in pixels, except at the picture's border."""
    points = []
    for lines, swap in ((mask, False), (mask.T, True)):
        n = lines.shape[1]
        filled = np.flatnonzero(lines.any(1))
        first = lines[filled].argmax(1)
        last = n - lines[filled, ::-1].argmax(1)
        for end, inside in ((first, first > 0), (last, last < n)):
            found = np.stack([end[inside], filled[inside] + 0.5], 1).astype(float)
            points.append(found[:, ::-1] if swap else found)
    return np.concatenate(points)


def _circle(points: Floats, shape: tuple[int, ...]) -> tuple[float, float, float] | None:
    """Return x, y and radius of the circle that most points agree with, or None if there is no such circle."""
    if len(points) < 3 * _VOTERS // 2:
        return None
    turn = np.arctan2(*(points - points.mean(0)).T[::-1])
    voters = points[np.argsort(turn, kind="stable")][np.linspace(0, len(points) - 1, _VOTERS).astype(int)]
    third = _VOTERS // 3
    triples = voters[[(i, third + j, 2 * third + k) for i, j, k in product(range(third), repeat=3)]]
    circles = _through(triples)
    circles = circles[_plausible(circles, shape)]
    if not len(circles):
        return None
    best = circles[_on_circle(circles, points).sum(1).argmax()]
    for _ in range(3):
        near = points[_on_circle(best[None], points)[0]]
        refined = optimize.least_squares(lambda c, p: np.hypot(*(p - c[:2]).T) - c[2], best, args=(near,)).x
        if _on_circle(refined[None], points).sum() < 0.9 * len(near) or not _plausible(refined[None], shape)[0]:
            break  # a short arc determines its circle poorly
        best = refined
    if _on_circle(best[None], points)[0].mean() < _MAJORITY:
        return None
    x, y, radius = best.tolist()
    return x, y, radius


def _plausible(circles: Floats, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which circles (M, 3) have their centre in the picture and a plausible radius, bool (M,)."""
    x, y, radius = circles.T
    inside = (x > 0) & (x < shape[1]) & (y > 0) & (y < shape[0])  # False if x or y is not finite
    return np.asarray(inside & (radius > 0.2 * min(shape)) & (radius < max(shape)), np.bool_)


def _through(triples: Floats) -> Floats:
    """Return x, y and radius (M, 3) of the circles through triples of points (M, 3, 2); not finite if they are collinear."""
    a, b, c = triples[:, 0], triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0]
    cross = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    bb, cc = (b**2).sum(1), (c**2).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.stack([c[:, 1] * bb - b[:, 1] * cc, b[:, 0] * cc - c[:, 0] * bb], 1) / cross[:, None]
    return np.column_stack([a + centre, np.hypot(*centre.T)])


def _on_circle(circles: Floats, points: Floats) -> npt.NDArray[np.bool_]:
    """Return which points lie on which circle, bool (M, N)."""
    distance = np.hypot(points[:, 0] - circles[:, :1], points[:, 1] - circles[:, 1:2])
    return np.asarray(abs(distance - circles[:, 2:]) <= _TOLERANCE * circles[:, 2:], np.bool_)
