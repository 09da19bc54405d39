"""A confusion matrix by its cells that are not empty: of K^2 cells, at most as many as there are images.

With 2,000 classes a bootstrap of 2,000 draws would otherwise fill 2,000 tables of four million cells.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Counts (..., M), float64, in M cells of a confusion matrix of K classes.

    labels, predictions: int64 (M,), row and column of each cell; the cells are sorted by label, then by prediction.
    """

    counts: Array
    labels: Positions
    predictions: Positions
    classes: int

    def of_labels(self) -> Array:
        """Return the images of each class, (..., K)."""
        return sums_by(self.labels, self.counts, self.classes)

    def of_predictions(self) -> Array:
        """Return the predictions of each class, (..., K)."""
        order = np.argsort(self.predictions, kind="stable")
        return sums_by(self.predictions[order], np.take(self.counts, order, axis=-1), self.classes)

    def diagonal(self) -> Array:
        """Return the correct predictions of each class, (..., K)."""
        right = np.flatnonzero(self.labels == self.predictions)
        found = np.zeros((*self.counts.shape[:-1], self.classes))
        found[..., self.labels[right]] = self.counts[..., right]
        return found

    def dense(self) -> Array:
        """Return the whole table, (..., K, K)."""
        table = np.zeros((*self.counts.shape[:-1], self.classes**2))
        table[..., self.labels * self.classes + self.predictions] = self.counts
        return table.reshape(*self.counts.shape[:-1], self.classes, self.classes)

    def concordance(self) -> Array:
        """Return the concordant minus the discordant pairs, (...), each counted twice, as (a, b) and (b, a).

        For each bit of the labels from the highest: among cells whose labels agree above it, those with a 0 are compared with
        those with a 1 by a running sum in the order of the predictions. So M log K additions instead of M^2.
        """
        found = np.zeros(self.counts.shape[:-1])
        for bit in range(max(1, int(self.classes - 1).bit_length())):
            above, upper = self.labels >> (bit + 1), (self.labels >> bit) & 1 == 1
            order = np.lexsort((self.predictions, above))
            family = above[order]
            place = family * self.classes + self.predictions[order]
            running = np.zeros((*self.counts.shape[:-1], len(order) + 1))
            np.cumsum(np.where(upper[order], 0.0, np.take(self.counts, order, axis=-1)), axis=-1, out=running[..., 1:])
            high = upper[order]
            edges = [np.searchsorted(keys, keys[high], side=side) for keys in (place, family) for side in ("left", "right")]
            before, through, start, end = (np.take(running, edge, axis=-1) for edge in edges)
            found += (np.take(self.counts, order[high], axis=-1) * (before + through - start - end)).sum(-1)
        return 2 * found


class Pairs:
    """The pairs of label and predicted class of N images, to be counted for many weightings."""

    def __init__(self, labels: Positions, predictions: Positions, classes: int) -> None:
        """Args: labels, predictions: int64 (N,), from 0 to `classes` - 1."""
        cells = labels * classes + predictions
        self.classes = classes
        # Sorted by cell, each cell is one run of images.
        self._order = np.argsort(cells, kind="stable")
        self._sorted, self._starts = np.unique(cells[self._order], return_index=True)

    def counted(self, weights: Array) -> Cells:
        """Return the cells, the counts of shape (..., M), for weights (..., N)."""
        counts = np.add.reduceat(np.take(weights, self._order, axis=-1), self._starts, axis=-1)
        return Cells(counts, self._sorted // self.classes, self._sorted % self.classes, self.classes)


def sums_by(keys: Positions, values: Array, size: int) -> Array:
    """Return the sums (..., size) of values (..., M) by their key, from 0 to `size` - 1; `keys` (M,) are sorted."""
    present, starts = np.unique(keys, return_index=True)
    sums = np.zeros((*values.shape[:-1], size))
    sums[..., present] = np.add.reduceat(values, starts, axis=-1)
    return sums
