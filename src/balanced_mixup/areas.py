"""The area under the ROC curve of each class, for many weightings of the same images at once.

For a class of few images a matrix that says which images rank below each of them is multiplied by the weights, a block of such
classes at a time; for a common class, weights are summed in the order of its probabilities.
"""

import numpy as np
import numpy.typing as npt

from balanced_mixup.cells import Array, Positions, sums_by

_FEW = 128  # images of a class, up to which the product of matrices is the faster way
_ENTRIES = 2**24  # of such a matrix
_EXACT = 2**23  # up to here float32 has all whole and half numbers


class ClassAreas:
    """The ranks of N images by the probability of each of K classes."""

    def __init__(self, labels: Positions, p: npt.NDArray[np.floating]) -> None:
        """Args: labels: int64 (N,). p: (N, K)."""
        self._by_class = np.ascontiguousarray(p.T)
        self._members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels, minlength=p.shape[1]))[:-1])

    def of(self, weights: Array) -> Array:
        """Return the areas, float64 (..., K), for weights (..., N); NaN where a class has no image or all of them."""
        w = weights.reshape(-1, weights.shape[-1])
        if not len(w):
            return np.zeros((*weights.shape[:-1], len(self._members)))
        inside = self._sums(w)
        above = np.zeros(inside.shape)  # twice the weight of the pairs of an image of the class and one of the rest below it
        # Whole numbers of copies, as of a bootstrap, are exact in float32, in which matrices are multiplied twice as fast.
        exact = bool((w == np.floor(w)).all() and w.sum(-1).max() < _EXACT)
        few = [k for k, rows in enumerate(self._members) if exact and 0 < len(rows) <= _FEW]
        if few:
            above[:, few] = self._of_small(few, w)
        for k in sorted(set(range(len(self._members))) - set(few)):
            if len(self._members[k]):
                above[:, k] = self._of_large(k, w, inside[:, k])
        outside = w.sum(-1, keepdims=True) - inside
        # Weights that do not add up exactly leave a trace of weight outside of a class that has all of it; images are counted.
        others = (w > 0).sum(-1, keepdims=True) > self._sums(w > 0)
        areas = np.full(inside.shape, np.nan)
        np.divide(above / 2, inside * outside, out=areas, where=(inside > 0) & (outside > 0) & others)
        return areas.reshape(*weights.shape[:-1], -1)

    def _sums(self, values: npt.NDArray[np.generic]) -> Array:
        """Return the sum of each class, (..., K), of a value for each image, (..., N)."""
        return np.stack([values[:, rows].sum(-1) for rows in self._members], axis=-1)

    def _of_small(self, classes: list[int], w: Array) -> Array:
        single = w.astype(np.float32)
        found = []
        for block in self._blocks(classes):
            rows = np.concatenate([self._members[k] for k in block])
            below = np.empty((len(rows), w.shape[1]), np.float32)
            start = 0
            for k in block:
                members, values = self._members[k], self._by_class[k]
                part = below[start : start + len(members)]
                np.add(values < values[members, None], values <= values[members, None], out=part, dtype=np.float32)
                part[:, members] = 0
                start += len(members)
            products = w[:, rows] * (single @ below.T)
            places = np.repeat(np.arange(len(block)), [len(self._members[k]) for k in block])
            found.append(sums_by(places, products, len(block)))
        return np.concatenate(found, axis=1)

    def _blocks(self, classes: list[int]) -> list[list[int]]:
        blocks: list[list[int]] = []
        room = 0
        for k in classes:
            if len(self._members[k]) > room:
                blocks.append([])
                room = max(_FEW, _ENTRIES // self._by_class.shape[1])
            blocks[-1].append(k)
            room -= len(self._members[k])
        return blocks

    def _of_large(self, k: int, w: Array, inside: Array) -> Array:
        """Return it by the Mann-Whitney rank sum."""
        p, members = self._by_class[k], self._members[k]
        order = np.argsort(p)
        ranks = np.zeros((len(w), len(p) + 1))
        np.cumsum(np.take(w, order, axis=-1), axis=-1, out=ranks[:, 1:])
        below, through = (np.searchsorted(p[order], p[members], side=side) for side in ("left", "right"))
        # A rank is the weight below plus half the weight of the ties. Within the class the ranks add up to inside^2 / 2.
        twice: Array = (w[:, members] * (ranks[:, below] + ranks[:, through])).sum(-1) - inside**2
        return twice
