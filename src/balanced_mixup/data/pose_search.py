"""The pairs of pictures that correlate in one of their eight poses, among all pairs of many pictures; none is missed.

The product of two unit vectors is at most that of short vectors made of them, whose products are computed for all pairs by
matrix multiplication. There are two kinds:

- Sums and differences of the four quadrants are even or odd under a mirroring, so that a pose only changes signs and exchanges
  places across the diagonal. Absolute values of the odd ones, and lengths of what is exchanged, are the same in all poses: one
  product for all eight. By the inequality of Cauchy and Schwarz it is at least the product in any pose.
- Where that leaves many pairs, as among photographs of a retina, the pictures themselves, once for each pose.

Either is turned to its principal axes, and all but the first ones are replaced by their length: the same inequality.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.thumbnails import Kind, large_array
from balanced_mixup.progress import progress_bar

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

POSES = 8

_AXES = 192
_SAMPLE = 2048  # pictures that the axes are computed from
_TILE = (2048, 8192)  # pictures by pictures compared at a time
_MANY = 1e-3  # share of the pairs of a tile that is too large to look at one by one
_ROUNDING = 2e-3  # of products of vectors of 16-bit numbers


def pose(pictures: npt.NDArray[Kind], number: int) -> npt.NDArray[Kind]:
    """Turn pictures (..., S, S) by `number` // 2 right angles; odd numbers are also mirrored."""
    turned = np.rot90(pictures, number // 2, (-2, -1))
    return turned[..., ::-1] if number % 2 else turned


# For each pose, where each of the 3 * 16 * 16 values of a picture comes from: (POSES, 768).
POSED: Rows = np.stack([pose(np.arange(3 * 256).reshape(3, 16, 16), number).reshape(-1) for number in range(POSES)])


def similar_pairs(pictures: npt.NDArray[np.float16], rows: Rows, known: int, correlation: float) -> Iterator[Rows]:
    """Yield pairs (M, 2) of rows, the first less than the second, with all that correlate by at least `correlation`, and more.

    Args:
        pictures: (N, 3 * 16 * 16), unit vectors, in the order channel, height, width.
        rows: Those to compare, ascending.
        known: If not 0, only rows less than `known` are compared with others.
        correlation: At least 0.
    """
    if not len(rows):
        return
    some = pictures[rows[:: -(-len(rows) // _SAMPLE)]].astype(np.float32)
    of_all_poses, of_one = _Axes(_invariant(some)), _Axes(some)
    invariant, plain = (large_array((len(rows), axes.length), np.float32) for axes in (of_all_poses, of_one))
    for start in range(0, len(rows), _TILE[0]):
        chunk = pictures[rows[start : start + _TILE[0]]].astype(np.float32)
        invariant[start : start + _TILE[0]] = of_all_poses.shorten(_invariant(chunk))
        plain[start : start + _TILE[0]] = of_one.shorten(chunk)
    least, border = correlation - _ROUNDING, int(np.searchsorted(rows, known))
    bottom = border if known else len(rows)
    with progress_bar("Looking for near copies", bottom) as advance:
        for top in range(0, bottom, _TILE[0]):
            block = slice(top, min(top + _TILE[0], bottom))
            posed = None
            for left in range(border if known else top, len(rows), _TILE[1]):
                tile = slice(left, left + _TILE[1])
                possible = invariant[block] @ invariant[tile].T >= least
                if np.count_nonzero(possible) > _MANY * possible.size:
                    if posed is None:
                        chunk = pictures[rows[block]].astype(np.float32)
                        posed = [of_one.shorten(chunk[:, places]) for places in POSED]
                    in_some_pose = np.zeros_like(possible)
                    for shortened in posed:
                        in_some_pose |= shortened @ plain[tile].T >= least
                    possible &= in_some_pose
                row, column = np.nonzero(possible)
                row, column = rows[row + top], rows[column + left]
                yield np.stack([row, column], 1)[row < column]
            advance(block.stop - top)


class _Axes:
    """The principal axes of vectors."""

    def __init__(self, vectors: Floats) -> None:
        """Compute them from (M, K); about the origin, as lengths are to stay what they are."""
        if len(vectors) < vectors.shape[1]:
            self._axes: Floats = np.linalg.svd(vectors, full_matrices=False)[2][:_AXES].T
        else:
            self._axes = np.linalg.eigh(vectors.T @ vectors)[1][:, : -_AXES - 1 : -1]

    @property
    def length(self) -> int:
        """Of the vectors that `shorten` returns: at most `_AXES` + 1."""
        return int(self._axes.shape[1]) + 1

    def shorten(self, vectors: Floats) -> Floats:
        """Return (M, `length`): the vectors along the first axes, and the length of the rest of each."""
        first = vectors @ self._axes
        rest = np.square(vectors).sum(1) - np.square(first).sum(1)
        return np.column_stack([first, np.sqrt(np.maximum(rest, 0))])


def _invariant(vectors: Floats) -> Floats:
    """Return of pictures (M, 768) what is the same in all poses, (M, 576)."""
    x = vectors.reshape(-1, 3, 16, 16)
    a, b = x[:, :, :8, :8], x[:, :, :8, :7:-1]
    c, d = x[:, :, :7:-1, :8], x[:, :, :7:-1, :7:-1]
    even, odd = (a + b + c + d) / 2, (a - b - c + d) / 2
    across, along = (a - b + c - d) / 2, (a + b - c - d) / 2
    upper, diagonal = np.triu_indices(8, 1), np.arange(8)
    parts = [even[:, :, diagonal, diagonal], np.abs(odd[:, :, diagonal, diagonal])]
    for square, of_sum in ((even, np.positive), (odd, np.abs)):
        one, other = square[:, :, upper[0], upper[1]], square[:, :, upper[1], upper[0]]
        parts += [of_sum(one + other) / np.sqrt(2), np.abs(one - other) / np.sqrt(2)]
    parts.append(np.hypot(across, along.swapaxes(2, 3)).reshape(len(x), 3, -1))
    return np.concatenate(parts, axis=2).reshape(len(x), -1)
