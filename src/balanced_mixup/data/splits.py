"""Splitting a data set: stratified by class, with no group in two splits.

How splits are made has a version: a run or a benchmark that was started with an earlier one goes on with its splits.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.earlier_split import earlier_split
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import SPLIT_VERSION
from balanced_mixup.data.stratification import Keys, stratify
from balanced_mixup.errors import UsageError

_COVERED = ("train", "test", "val")  # where every class is wanted, and in this order where it has too few groups


def make_split(
    labels: npt.NDArray[np.int64],
    groups: Keys | None,
    fractions: Mapping[str, float],
    seed: int,
    version: int = SPLIT_VERSION,
) -> npt.NDArray[np.str_]:
    """Return the split of each image, str (N,).

    A split called "train" gets at least one group of every class, as a class without training images cannot be learnt; then one
    called "test" does, then "val", as far as there are groups of the class. Among splits with other names, such as folds, a
    class of few groups is in as many as possible.

    Args:
        labels: (N,), any integers.
        groups: (N,), images with the same value stay together; None: no groups.
        fractions: The fraction of the images for each split, adding up to 1, by the name of the split.
        seed: Seed of the assignment of groups.
        version: How splits are made.
    """
    if version == 1:
        return earlier_split(labels, groups, fractions, seed)
    names = list(fractions)
    ranks = [_COVERED.index(name) if name in _COVERED else -1 for name in names]
    if set(ranks) == {-1}:
        ranks = [0] * len(names)
    return np.array(names)[stratify(labels, groups, list(fractions.values()), ranks, seed)]


def complete_split(
    manifest: Manifest,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    same: Sequence[str] | None = None,
    version: int = SPLIT_VERSION,
) -> Manifest:
    """Return the data set with a split into "train", "val" and "test".

    - A given split is kept. If it has no validation split, `val_fraction` of its training split becomes one. If it has no test
      split none is made: a given split defines what is test.
    - Without a given split, or with training images only, both are made; `test_fraction` 0 makes no test split.

    Args:
        manifest: Its groups are never divided.
        val_fraction: Fraction for validation.
        test_fraction: Fraction for the test.
        seed: Seed of the split.
        same: (N,) digests; images with the same one stay together ("" matches no other).
        version: How splits are made.

    Raises:
        UsageError: The fractions are impossible.
    """
    check_fractions(manifest, val_fraction, test_fraction)
    splits = given_splits(manifest)
    given = bool(splits - {"train"})
    if "val" in splits or (given and "train" not in splits):
        return manifest
    rows = manifest.rows("train") if given else np.arange(len(manifest))
    fractions = {"train": 1 - val_fraction, "val": val_fraction}
    if not given and test_fraction > 0:
        fractions = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    together = merge_groups(len(manifest), manifest.groups, same)
    split = np.full(len(manifest), "train", dtype="<U5") if manifest.split is None else manifest.split.astype("<U5")
    own = None if together is None else together[rows]
    split[rows] = make_split(manifest.labels[rows], own, fractions, seed, version)
    return manifest.with_split(split)


def given_splits(manifest: Manifest) -> set[str]:
    """Return the splits that have images in the data set's own split."""
    return set() if manifest.split is None else set(manifest.split.tolist()) - {""}


def check_fractions(manifest: Manifest, val_fraction: float, test_fraction: float) -> None:
    """Raise UsageError unless training, validation and test each get a fraction, as far as they are not given."""
    for name, value in (("--val-fraction", val_fraction), ("--test-fraction", test_fraction)):
        if not 0 <= value < 0.9:
            raise UsageError(f"Expected {name} to be from 0 to 0.9, but got {value:g}.")
    if val_fraction == 0 and "val" not in given_splits(manifest):
        raise UsageError("Expected --val-fraction above 0, as the best epoch is chosen on validation data, but got 0.")
    if val_fraction + test_fraction >= 0.9:
        raise UsageError(
            f"Expected --val-fraction and --test-fraction to leave more than a tenth for training, but got {val_fraction:g} "
            f"and {test_fraction:g}."
        )


def merge_groups(n: int, *keys: Sequence[str] | npt.NDArray[np.str_] | None) -> npt.NDArray[np.int64] | None:
    """Return int64 (n,), equal for images that are connected by equal values in any of `keys` (each of length n, or None).

    Empty values connect nothing. None if there are no keys.
    """
    given = [np.asarray(key, dtype=np.str_) for key in keys if key is not None]
    if not given:
        return None
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, nodes, total = [], [], n
    for key in given:
        values, node = np.unique(key, return_inverse=True)
        rows.append(np.flatnonzero(key != ""))
        nodes.append(node[rows[-1]] + total)
        total += len(values)
    row, node = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(row), np.int8), (row, node)), shape=(total, total))
    return np.asarray(connected_components(graph, directed=False)[1][:n], np.int64)
