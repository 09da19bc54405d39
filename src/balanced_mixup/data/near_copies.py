"""Near copies: the same photograph re-encoded, resized, mirrored, turned by right angles, brightened or slightly cropped.

Two images are near copies if one, in one of its eight poses and after a small shift, zoom and turn, correlates with the other
in fine structure. Notable decisions:

- Coarse structure does not count: all photographs of a retina are a disc on black, and all blood cells one in the middle.
  Pictures are band-passed (less their blurred version), and where an edge is strong it counts less than its contrast.
- A small shift, zoom or turn adds a combination of the picture's derivatives (tangent distance; Simard, LeCun and Denker,
  NIPS 1992), so that the best one is a least-squares fit of five numbers: found at 16 px, applied, and repeated at 32 px.
- Whether two images are near copies depends on these two alone, not on the others.
- `data.pose_search` finds all pairs whose band-passed 16 px pictures correlate by `_COARSE`; only these are looked at.
"""

import logging
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.pose_search import POSED, POSES, pose, similar_pairs
from balanced_mixup.data.thumbnails import SIDE, Pixels8, large_array

Floats = npt.NDArray[np.float32]
Pairs = npt.NDArray[np.int64]

log = logging.getLogger("balanced_mixup")

_COARSE = 0.9  # correlation at 16 px of pairs that are looked at
_FITTED = 0.95  # the same after the best small shift, zoom and turn
_FINE = 0.95  # correlation at 32 px of near copies; less for pictures of little contrast, as encoding adds noise, ...
_NOISE = 1.0  # of this standard deviation in grey levels, ...
_MOST_NOISE = 0.1  # but that never explains more than this share of a picture
_FLATTEST = 1.0  # standard deviation of a band-passed picture, in grey levels, below which there is nothing to compare
_FLATTENING = 0.5  # contrast, in units of that of the whole picture, above which an edge counts less
_BLUR = 2.0  # standard deviation in pixels of the blur of the band-pass
_MOST_SHIFT = 2.0  # pixels at 32 px, by which a fit at 16 px may move any point
_MOST_LOOKED_AT = 200  # pairs for each image, 10,000 of which take a second; 4,700 fundus photographs have 19
_CHUNK = 2048  # pairs or images at a time


def near_copies(thumbnails: Pixels8, known: int = 0) -> Pairs:
    """Return pairs of near copies that connect all that are connected by any, int64 (M, 2), the lower row of each first.

    Where images are so much alike that more than `_MOST_LOOKED_AT` pairs for each would have to be looked at, the search ends
    early, with a warning.

    Args:
        thumbnails: (N, SIDE, SIDE, 3); one of a single colour, such as zeros, is a copy of nothing.
        known: If not 0, only pairs of one of the first `known` images and one of the others are looked for.
    """
    n = len(thumbnails)
    waves, detailed = large_array((n, 16 * 16 * 3), np.float16), np.zeros(n, np.bool_)
    for chunk in (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK)):
        waves[chunk], detailed[chunk] = _coarse(thumbnails[chunk])
    found, sets, left = [np.zeros((0, 2), np.int64)], np.arange(n), _MOST_LOOKED_AT * n
    for pairs in similar_pairs(waves, np.flatnonzero(detailed), known, _COARSE):
        # Of a thousand copies of one image not all half a million pairs are looked at, but those that connect new ones.
        while len(pairs := pairs[sets[pairs[:, 0]] != sets[pairs[:, 1]]]):
            if left <= 0:
                log.warning("The images are too much alike to look for all near copies among them: some may not be found.")
                return np.concatenate(found)
            some, pairs = pairs[:_CHUNK], pairs[_CHUNK:]
            left -= len(some)
            some, poses = _similar(thumbnails, waves, some)
            if len(some) and len(confirmed := some[_confirmed(thumbnails, some, poses)]):
                sets = joined(sets, confirmed)
                found.append(confirmed)
    return np.concatenate(found)


def joined(sets: npt.NDArray[np.int64], pairs: Pairs) -> npt.NDArray[np.int64]:
    """Return the set of each of N rows, (N,) from 0, after those of each pair of rows (M, 2) are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(sets.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(pairs), np.int8), (sets[pairs[:, 0]], sets[pairs[:, 1]])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)[sets]


def _blur_matrix(side: int) -> Floats:
    """Return the matrix (side, side) of a blur along one axis, whose rows add up to 1."""
    place = np.arange(side)
    weights = np.exp(-0.5 * ((place[:, None] - place) / _BLUR) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


_BLURS = {side: _blur_matrix(side) for side in (16, SIDE)}


def _blurred(pictures: Floats) -> Floats:
    """Blur pictures (..., C, S, S) along their last two axes."""
    blur = _BLURS[pictures.shape[-1]]
    return np.asarray(blur @ (pictures @ blur.T))


def _banded(pictures: Floats) -> Floats:
    """Return pictures without their coarse structure."""
    return pictures - _blurred(pictures)


def _pictures(thumbnails: Pixels8) -> Floats:
    """Return (M, 3, SIDE, SIDE)."""
    return np.moveaxis(thumbnails, 3, 1).astype(np.float32)


def _coarse(thumbnails: Pixels8) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the band-passed 16 px pictures as unit vectors, (M, 16 * 16 * 3) in the order C, H, W, and which are not flat."""
    pictures = _halved(_pictures(thumbnails))
    waves = _banded(pictures).reshape(len(pictures), -1)
    length = np.linalg.norm(waves, axis=1)
    detailed = length >= _FLATTEST * np.sqrt(waves.shape[1])
    return np.where(detailed[:, None], waves / np.maximum(length, 1e-6)[:, None], 0), detailed


def _similar(thumbnails: Pixels8, waves: npt.NDArray[np.float16], pairs: Pairs) -> tuple[Pairs, npt.NDArray[np.int64]]:
    """Return those of `pairs` that correlate in some pose of the second one and fit at 16 px, and the best pose of each."""
    first, second = waves[pairs[:, 0]].astype(np.float32), waves[pairs[:, 1]].astype(np.float32)
    correlation = np.stack([np.einsum("mk,mk->m", first, second[:, places]) for places in POSED], 1)
    similar = correlation.max(1, initial=-1) >= _COARSE
    pairs, poses = pairs[similar], correlation[similar].argmax(1)
    if not len(pairs):
        return pairs, poses
    posed = np.take_along_axis(second[similar], POSED[poses], 1)
    # The same first image has many others: what a small movement can make of it is computed once.
    images, image = np.unique(pairs[:, 0], return_inverse=True)
    fields = _banded(_fields(_halved(_pictures(thumbnails[images])))).reshape(len(images), 6, waves.shape[1])
    basis = np.linalg.qr(fields.swapaxes(1, 2))[0]
    fitting = np.square(np.einsum("mkf,mk->mf", basis[image], posed)).sum(1) >= _FITTED**2
    return pairs[fitting], poses[fitting]


def _confirmed(thumbnails: Pixels8, pairs: Pairs, poses: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which of `pairs`, the second image of each in its pose, are near copies."""
    first, second = _pictures(thumbnails[pairs[:, 0]]), _pictures(thumbnails[pairs[:, 1]])
    for number in range(POSES):
        second[poses == number] = pose(second[poses == number], number)
    movement = _fit(_halved(first), _halved(second)).movement
    fit = _fit(_moved(first, 2 * movement), second, _FLATTENING)
    return np.asarray(fit.unexplained <= 1 - _FINE**2 + np.minimum(fit.noise, _MOST_NOISE))


def _halved(pictures: Floats) -> Floats:
    m, channels, side, _ = pictures.shape
    return np.asarray(pictures.reshape(m, channels, side // 2, 2, side // 2, 2).mean((3, 5)))


class _Fit(NamedTuple):
    """How well M pictures fit others after the best small shift, zoom and turn.

    unexplained: (M,), share of the variance. noise: (M,), the share that noise would have. movement: (M, 2, S, S), how many
    pixels down and to the right of a place the first picture is to be read there.
    """

    unexplained: Floats
    noise: Floats
    movement: Floats


def _fields(pictures: Floats) -> Floats:
    """Return pictures (M, 3, S, S) and what a shift, zoom and turn add to them, (M, 6, 3, S, S)."""
    x = np.linspace(-1, 1, pictures.shape[-1], dtype=np.float32)
    y = x[:, None]
    down, right = np.gradient(pictures, axis=(2, 3))
    return np.stack([pictures, down, right, y * down, x * right, x * down - y * right], 1)


def _fit(first: Floats, second: Floats, flattening: float | None = None) -> _Fit:
    """Fit `first` to `second`, both (M, 3, S, S).

    flattening: Contrast at a place, in units of that of the picture, above which its weight falls; None: all weigh 1.
    """
    m, _, side, _ = first.shape
    fields, target = _banded(_fields(first)), _banded(second)
    weight = np.ones((m, 1, side, side), np.float32)
    if flattening is not None:
        weight /= np.sqrt(flattening**2 + (_contrast(fields[:, 0]) + _contrast(target)) / 2)
    fields, target = (fields * weight[:, None]).reshape(m, 6, 3 * side**2), (target * weight).reshape(m, 3 * side**2, 1)
    length = np.linalg.norm(fields, axis=2, keepdims=True) + 1e-6
    fields = fields / length
    product, total = fields @ target, np.square(target).sum((1, 2)) + 1e-6
    share = np.linalg.solve(fields @ fields.swapaxes(1, 2) + 1e-4 * np.eye(6, dtype=np.float32), product)
    explained, share = (share * product).sum((1, 2)) / total, share / length
    positive = share[:, 0] > 0  # a negative of the picture is no copy of it
    x = np.linspace(-1, 1, side, dtype=np.float32)
    y = x[:, None]
    d, r, zoom_y, zoom_x, turn = (share[:, 1:, 0] / np.where(positive, share[:, 0], 1)).T[..., None, None]
    return _Fit(
        np.where(positive[:, 0], 1 - explained, 1),
        3 * _NOISE**2 * np.square(weight).sum((1, 2, 3)) / total,
        np.stack([d + zoom_y * y + turn * x, r + zoom_x * x - turn * y], 1),
    )


def _contrast(waves: Floats) -> Floats:
    """Return the squared contrast about each place of band-passed pictures, (M, 1, S, S), in units of the picture's mean."""
    energy = np.square(waves).mean(1, keepdims=True)
    return np.asarray(_blurred(energy) / (energy.mean((2, 3), keepdims=True) + 1e-6))


def _moved(pictures: Floats, movement: Floats) -> Floats:
    """Return pictures (M, 3, S, S) read at the places to which `movement`, (M, 2, s, s) in pixels of S, leads."""
    m, _, side, _ = pictures.shape
    step = side // movement.shape[-1]
    movement = np.clip(movement, -_MOST_SHIFT, _MOST_SHIFT).repeat(step, 2).repeat(step, 3)
    place = np.arange(side, dtype=np.float32)
    at = np.clip(movement + np.stack(np.meshgrid(place, place, indexing="ij")), 0, side - 1.001)
    whole = at.astype(np.int64)
    (y, x), (v, u) = whole.swapaxes(0, 1)[:, :, None], (at - whole).astype(np.float32).swapaxes(0, 1)[:, :, None]
    image, channel = np.arange(m)[:, None, None, None], np.arange(3)[:, None, None]

    def read(dy: int, dx: int) -> Floats:
        return np.asarray(pictures[image, channel, y + dy, x + dx])

    upper, lower = ((1 - u) * read(dy, 0) + u * read(dy, 1) for dy in (0, 1))
    return np.asarray((1 - v) * upper + v * lower)
