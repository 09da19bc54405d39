"""Dividing a data set into parts: stratified by class, and never a group on two sides.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011), with
groups as the samples and the classes inside a group as its labels: from the rarest class on, each group that contains the
class goes to the side that still needs most of it. Without groups every side gets its share of every class to less than one
image.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.errors import UsageError
from balanced_mixup.randomness import generator

Keys = npt.NDArray[np.str_] | npt.NDArray[np.int64]


def make_split(
    labels: npt.NDArray[np.int64], groups: Keys | None, fractions: Mapping[str, float], seed: int
) -> npt.NDArray[np.str_]:
    """Return the side of each image, str (N,).

    A side called "train" gets at least one group of every class, as what is not trained on cannot be learnt.

    Args:
        labels: (N,), any integers.
        groups: (N,), images with the same value stay together; None: each image by itself.
        fractions: The share of the images for each side, adding up to 1, by the side's name.
        seed: Decides which groups go where.
    """
    members = _members(np.arange(len(labels)) if groups is None else groups)
    contents = [Counter(labels[rows].tolist()) for rows in members]
    order = generator(seed, "split").permutation(len(members)).tolist()
    groups_of = defaultdict(list)
    for group in order:
        for label in contents[group]:
            groups_of[label].append(group)
    rarest_first = sorted(groups_of, key=lambda label: (len(groups_of[label]), label))
    sides = _Sides(fractions, Counter(labels.tolist()))
    placed: dict[int, str] = {}
    if "train" in fractions:
        for label in rarest_first:
            if all(group not in placed for group in groups_of[label]):
                group = groups_of[label][0]
                placed[group] = "train"
                sides.fill("train", contents[group])
    for label in rarest_first:
        for group in groups_of[label]:
            if group not in placed:
                placed[group] = sides.neediest(label)
                sides.fill(placed[group], contents[group])
    split = np.empty(len(labels), dtype=f"<U{max(map(len, fractions))}")
    for group, side in placed.items():
        split[members[group]] = side
    return split


def _members(keys: Keys) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each group."""
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.split(np.argsort(group, kind="stable"), np.cumsum(counts)[:-1])


class _Sides:
    """How many images of each class, and in all, every side still needs; negative where it has too many."""

    def __init__(self, fractions: Mapping[str, float], counts: Mapping[int, int]) -> None:
        self._needs = {side: {label: share * count for label, count in counts.items()} for side, share in fractions.items()}
        self._totals = {side: share * sum(counts.values()) for side, share in fractions.items()}

    def neediest(self, label: int) -> str:
        """Return the side that needs most of a class; among equals the one that needs most images, then the first."""
        return max(self._totals, key=lambda side: (round(self._needs[side][label], 6), round(self._totals[side], 6)))

    def fill(self, side: str, content: Mapping[int, int]) -> None:
        """Count a group, given as images by class, to a side."""
        for label, count in content.items():
            self._needs[side][label] -= count
            self._totals[side] -= count


def complete_split(
    manifest: Manifest, val_fraction: float, test_fraction: float, seed: int, same: Sequence[str] | None = None
) -> Manifest:
    """Return the data set with a split into "train", "val" and "test".

    - A given split is kept as it is. If it has no validation part, `val_fraction` of its training part becomes one. If it has
      no test part none is made: whoever gives a split has said what is test.
    - Without a split, or with a training part alone, both parts are made; `test_fraction` 0 makes no test part.

    Args:
        manifest: Its groups are never divided.
        val_fraction: Share for validation.
        test_fraction: Share for the test.
        seed: Decides which images go where.
        same: (N,) digests; images with the same one stay together ("": by itself).

    Raises:
        UsageError: The fractions cannot be had.
    """
    check_fractions(manifest, val_fraction, test_fraction)
    parts = given_parts(manifest)
    given = bool(parts - {"train"})
    if "val" in parts or (given and "train" not in parts):
        return manifest
    rows = manifest.rows("train") if given else np.arange(len(manifest))
    fractions = {"train": 1 - val_fraction, "val": val_fraction}
    if not given and test_fraction > 0:
        fractions = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    together = merge_groups(len(manifest), manifest.groups, same)
    split = np.full(len(manifest), "train", dtype="<U5") if manifest.split is None else manifest.split.astype("<U5")
    split[rows] = make_split(manifest.labels[rows], None if together is None else together[rows], fractions, seed)
    return manifest.with_split(split)


def given_parts(manifest: Manifest) -> set[str]:
    """Return the parts that the data set's own split has images in."""
    return set() if manifest.split is None else set(manifest.split.tolist()) - {""}


def check_fractions(manifest: Manifest, val_fraction: float, test_fraction: float) -> None:
    """Raise UsageError unless training, validation and test each get a share, as far as they are not given."""
    for name, value in (("--val-fraction", val_fraction), ("--test-fraction", test_fraction)):
        if not 0 <= value < 0.9:
            raise UsageError(f"Expected {name} to be a share from 0 to 0.9, but got {value:g}.")
    if val_fraction == 0 and "val" not in given_parts(manifest):
        raise UsageError("Expected --val-fraction above 0, as the best epoch is chosen on validation data, but got 0.")
    if val_fraction + test_fraction >= 0.9:
        raise UsageError(
            f"Expected --val-fraction and --test-fraction to leave more than a tenth for training, but got {val_fraction:g} "
            f"and {test_fraction:g}."
        )


def merge_groups(n: int, *keys: Sequence[str] | npt.NDArray[np.str_] | None) -> npt.NDArray[np.int64] | None:
    """Return int64 (n,), equal for images that any of `keys` (each of length n, or None) holds together, or a chain of them.

    An empty key holds nothing together. None where there are no keys.
    """
    given = [np.asarray(key, dtype=np.str_) for key in keys if key is not None]
    if not given:
        return None
    rows, nodes, total = [], [], n
    for key in given:
        values, node = np.unique(key, return_inverse=True)
        rows.append(np.flatnonzero(key != ""))
        nodes.append(node[rows[-1]] + total)
        total += len(values)
    row, node = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(row), np.int8), (row, node)), shape=(total, total))
    return np.asarray(connected_components(graph, directed=False)[1][:n], np.int64)
