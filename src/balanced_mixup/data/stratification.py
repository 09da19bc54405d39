"""Stratification: whole groups are placed so that each part gets its share of every class and of all images.

What is kept small is the sum over the classes, and once more over the images as a whole, of (f - s)² / s for each part: f is
the fraction of the class that it has, s its share. So a rare class counts as much as a common one. Groups are placed one after
the other, those that weigh most in this sum first and at random among those of about the same weight, each where the sum grows
least (compare `StratifiedGroupKFold` of scikit-learn, where other seeds may give the same folds).

A class that is left in only as many groups as there are parts without it, or fewer, binds these groups to these parts, where
groups allow: not to a part that is over its share by more than two groups.

All sums are of integers, and so the same on every machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balanced_mixup.randomness import bits, scramble

Keys = npt.NDArray[np.str_] | npt.NDArray[np.int64]

_EPSILON = 1e-6  # of a group, in the solution of real numbers
_ATTEMPTS = 8  # at having every class in the needed parts: another order often succeeds
_FEW = 10_000  # groups, with which there is more than one attempt
_OVER = 2  # groups of average size that a part may have over its share, for classes that would be absent


@dataclass(frozen=True)
class _Kind:
    """Groups of equal content.

    groups: (M,), in random order. columns, images: (C,), the classes of one group and its images of each; the last column
    stands for the images as a whole.
    """

    groups: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]


def stratify(
    labels: npt.NDArray[np.int64], groups: Keys | None, shares: Sequence[float], ranks: Sequence[int], seed: int
) -> npt.NDArray[np.int64]:
    """Return the part of each image, int64 (N,), 0 ... P - 1.

    Without groups a part gets its share of a class to within one image, unless a part would be without the class.

    Args:
        labels: (N,), any integers.
        groups: (N,), images with the same value stay together; None: no groups.
        shares: (P,), the share of the images for each part, above 0, adding up to 1.
        ranks: (P,), the order in which a class with fewer groups than parts gets into them: 0 first; -1: it need not. A part
            of rank 0 that is the only one gets every class.
        seed: Seed of the assignment of groups.
    """
    if not len(labels):
        return np.zeros(0, np.int64)
    group = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    label = np.unique(labels, return_inverse=True)[1]
    classes = int(label.max()) + 1
    cells, images = np.unique(group * (classes + 1) + label, return_counts=True)
    of_group = np.bincount(group)
    # Every group has a cell of its size in one more column.
    cells = np.concatenate([cells, np.arange(len(of_group)) * (classes + 1) + classes])
    images = np.concatenate([images, of_group])
    order = np.argsort(cells)
    rows, columns = np.divmod(cells[order], classes + 1)
    attempts = _ATTEMPTS if len(of_group) <= _FEW else 1
    found: dict[tuple[int, ...], npt.NDArray[np.int64]] = {}
    for attempt in range(attempts):
        parts = _Parts(shares, ranks, columns, images[order])
        part = np.empty(len(of_group), np.int64)
        for kind in _kinds(rows, columns, images[order], parts.weights, seed, attempt):
            part[kind.groups] = parts.place(kind)
        found.setdefault(parts.classes_by_rank(), part)
        if parts.is_complete():
            break
    return found[max(found)][group]


def _kinds(
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    images: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int64],
    seed: int,
    attempt: int,
) -> Iterator[_Kind]:
    """Yield the groups, by kind, in the order of placement; `rows`, `columns` and `images` are the cells of group x class."""
    starts = np.searchsorted(rows, np.arange(rows[-1] + 2))
    # Equal content is recognised by a hash of 64 bits; if two were ever the same, shares would be a little less even.
    hashes = scramble(scramble(columns.astype(np.uint64)) + images.astype(np.uint64))
    _, first, kind, counts = np.unique(
        np.add.reduceat(hashes, starts[:-1]), return_index=True, return_inverse=True, return_counts=True
    )
    chance = bits(np.arange(len(starts) - 1), seed, "stratification", attempt)
    members = np.split(np.lexsort((chance, kind)), np.cumsum(counts)[:-1])
    squares = np.add.reduceat(images * images * weights[columns], starts[:-1])[first]
    _, exponents = np.frexp(squares.astype(np.float64))
    octave = exponents // 2  # weights of one octave differ by up to a factor of two
    for k in np.lexsort((chance[[groups[0] for groups in members]], -octave)).tolist():
        cells = slice(starts[first[k]], starts[first[k] + 1])
        yield _Kind(members[k], columns[cells], images[cells])


class _Parts:
    """What the P parts have, by column: the classes, and the images as a whole.

    Args:
        shares: (P,).
        ranks: (P,), see `stratify`.
        columns, images: The cells of all groups.
    """

    def __init__(
        self, shares: Sequence[float], ranks: Sequence[int], columns: npt.NDArray[np.int64], images: npt.NDArray[np.int64]
    ) -> None:
        count = int(columns.max()) + 1
        total = np.bincount(columns, images, count).astype(np.int64)
        self.shares = np.asarray(shares, np.float64)
        self.ranks = np.asarray(ranks, np.int64)
        self.needed = np.argsort(self.ranks, kind="stable")[(self.ranks < 0).sum() :]
        # The weight of a column is that of one over its images squared: its largest possible sum is the same for all.
        self.weights = np.maximum(2**60 // (count * total * total), 1)
        self.images = np.zeros((count, len(shares)), np.int64)
        self.present = np.zeros((count, len(shares)), np.bool_)
        self.groups = np.bincount(columns, minlength=count)
        self.left = self.groups.copy()  # groups of the class that have no part yet
        self.lacking = np.full(count, len(self.needed))  # needed parts without the class
        self._all = np.ones(len(shares), np.bool_)
        self.limits = (self.shares + _OVER / self.groups[-1]) * total[-1]

    def place(self, kind: _Kind) -> npt.NDArray[np.int64]:
        """Place all groups of a kind; returns the part of each, (M,)."""
        if len(kind.groups) == 1:
            part = self._best(kind, self._all)
            self._add(kind, part, 1)
            return np.array([part])
        placed, open_parts = self._whole(kind)
        for part in np.flatnonzero(placed).tolist():
            self._add(kind, part, int(placed[part]))
        for _ in range(len(kind.groups) - int(placed.sum())):
            part = self._best(kind, open_parts)
            self._add(kind, part, 1)
            placed[part] += 1
            open_parts[part] = False
        return np.repeat(np.arange(len(placed)), placed)

    def classes_by_rank(self) -> tuple[int, ...]:
        """Return how many classes the parts of each rank have."""
        classes = self.present[:-1, self.needed].sum(0)
        return tuple(np.bincount(self.ranks[self.needed], classes).astype(np.int64).tolist())

    def is_complete(self) -> bool:
        """Return whether every class is in all needed parts, or in as many as it has groups."""
        return bool((len(self.needed) - self.lacking >= np.minimum(self.groups, len(self.needed)))[:-1].all())

    def _add(self, kind: _Kind, part: int, count: int) -> None:
        columns = kind.columns
        self.images[columns, part] += count * kind.images
        self.left[columns] -= count
        self.lacking[columns] -= (self.ranks[part] >= 0) & ~self.present[columns, part]
        self.present[columns, part] = True

    def _whole(self, kind: _Kind) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return how many groups each part certainly gets, and which parts may get one more, both (P,).

        With real numbers the best placement by classes fills the parts like water: `level` is the growth of the sum that one
        more group would bring to any of the parts that get some. The certain ones are its whole numbers.
        """
        columns, images = kind.columns[:-1], kind.images[:-1]
        weighted = images * self.weights[columns]
        growth = 2 * (weighted @ self.images[columns]) / self.shares
        slope = 2 * (images @ weighted) / self.shares
        order = np.argsort(growth, kind="stable")
        level = (len(kind.groups) + np.cumsum((growth / slope)[order])) / np.cumsum(1 / slope[order])
        filled = np.flatnonzero(level > growth[order])[-1]
        real = np.maximum((level[filled] - growth) / slope, 0)
        whole = np.floor(real + _EPSILON).astype(np.int64)
        open_parts = real - whole > _EPSILON
        while self._would_lack(columns, whole):
            open_parts[largest := np.argmax(whole)] = True
            whole[largest] -= 1
        return whole, open_parts

    def _would_lack(self, columns: npt.NDArray[np.int64], placed: npt.NDArray[np.int64]) -> bool:
        """Return whether a class would have fewer groups left than needed parts lack it; never if nothing is placed."""
        without = ~self.present[np.ix_(columns, self.needed)] & (placed[self.needed] == 0)
        return bool(placed.any() and (self.left[columns] - placed.sum() < without.sum(1)).any())

    def _best(self, kind: _Kind, open_parts: npt.NDArray[np.bool_]) -> int:
        """Return where a group makes the sum grow least: of the parts to which classes bind it, else of the open ones."""
        columns = kind.columns
        weighted = kind.images * self.weights[columns]
        growth = (2 * (weighted @ self.images[columns]) + weighted @ kind.images) / self.shares
        critical = columns[self.left[columns] <= self.lacking[columns]]
        bound = self._bound(critical) if len(critical) else ()
        parts = np.array(bound) if bound else np.flatnonzero(open_parts if open_parts.any() else self._all)
        return int(parts[np.argmin(growth[parts])])

    def _bound(self, critical: npt.NDArray[np.int64]) -> Sequence[int]:
        """Return the parts to which these classes bind a group; if they disagree, the first rank and rarest class decide."""
        full = (self.images[-1] > self.limits) & (self.ranks > 0)
        bonds = []
        for column in critical.tolist():
            without = self.needed[~self.present[column, self.needed]]
            last = self.ranks[without[: self.left[column]][-1]]
            parts = without[(self.ranks[without] <= last) & ~full[without]]
            if len(parts):
                bonds.append((int(self.ranks[parts[0]]), int(self.left[column]), set(parts.tolist())))
        bonds.sort(key=lambda bond: bond[:2])
        agreed: set[int] = set()
        for *_, together in bonds:
            agreed = agreed & together or agreed or together
        return sorted(agreed)
