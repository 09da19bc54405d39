"""Folds for cross-validation, stratified by class with groups intact, and split files."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import SPLIT_NAMES, Manifest
from balanced_mixup.data.settings import SPLIT_VERSION
from balanced_mixup.data.sources.text_table import read_table
from balanced_mixup.data.splits import make_split
from balanced_mixup.data.stratification import Keys
from balanced_mixup.errors import DataError, Problem, UsageError
from balanced_mixup.table_files import neutralised, restored

UNUSED = "unused"  # the split of an image that is excluded


def k_folds(
    labels: npt.NDArray[np.int64], groups: Keys | None, k: int, seed: int, version: int = SPLIT_VERSION
) -> npt.NDArray[np.int64]:
    """Return the fold of each image, int64 (N,), 0 ... k - 1; each fold is the test split once.

    Args:
        labels: (N,).
        groups: (N,), images with the same value stay together; None: no groups.
        k: Number of folds.
        seed: Seed of the assignment of groups.
        version: How splits are made.

    Raises:
        UsageError: There are fewer groups than folds, or fewer than two folds.
    """
    count = len(np.unique(groups)) if groups is not None else len(labels)
    if not 2 <= k <= count:
        raise UsageError(f"Expected `folds` to be from 2 to the number of images (or groups), {count}, but got {k}.")
    return make_split(labels, groups, {str(fold): 1 / k for fold in range(k)}, seed, version).astype(np.int64)


def check_published(
    data: str, folds: npt.NDArray[np.int64], groups: npt.NDArray[np.int64] | None, names: Sequence[str]
) -> None:
    """Check that published folds are usable.

    Args:
        data: Name of the data set, for messages.
        folds: (N,), the fold of each image.
        groups: (N,), images with the same value have to stay together; None: no groups.
        names: Of the N images.

    Raises:
        UsageError: There is only one fold, or a group is in several of them.
    """
    if len(np.unique(folds)) < 2:
        raise UsageError(f"Expected two or more published folds of the data {data!r}, but all images are in one.")
    if groups is None:
        return
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    divided = np.flatnonzero(folds != folds[first[group]])
    if len(divided):
        one, other = names[first[group[divided[0]]]], names[divided[0]]
        raise UsageError(
            f"Expected the published folds of the data {data!r} to keep groups and identical images together, but "
            f"{len(np.unique(group[divided]))} of them are in several folds, such as {one!r} and {other!r}. Omit `fold_column` "
            "to have folds made; `protocol: paper` divides groups, as published, but not identical images."
        )


def sample(
    labels: npt.NDArray[np.int64], groups: Keys | None, count: int, seed: int, version: int = SPLIT_VERSION
) -> npt.NDArray[np.int64]:
    """Return the ascending rows of about `count` images, stratified by class with groups intact; all if there are fewer."""
    if count >= len(labels):
        return np.arange(len(labels))
    share = max(count, 1) / len(labels)
    return np.flatnonzero(make_split(labels, groups, {"train": share, "rest": 1 - share}, seed, version) == "train")


def write_split(path: Path, names: Sequence[str], split: npt.NDArray[np.str_]) -> None:
    """Write a table of image and split, for `--split-file`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "split"))
        writer.writerows(zip(map(neutralised, names), split.tolist(), strict=True))


def with_split_file(manifest: Manifest, path: Path) -> Manifest:
    """Return the data set with the split that a table of image and split gives.

    Images whose split is "unused" are excluded. An image that the table does not name is a problem of its row.

    Raises:
        DataError: The table cannot be read, or contains an unknown split or image.
    """
    table = read_table(path)
    if {"image", "split"} - set(table.header):
        message = f"{path.name}: expected the columns image and split, got {', '.join(table.header)}"
        raise DataError([Problem("split file", message, "Write one row per image: its name and train, val or test.")])
    position = {name: row for row, name in enumerate(manifest.images.names)}
    split = np.full(len(manifest), "", dtype="<U6")
    problems = []
    for name, cell, where in zip(map(restored, table.column("image")), table.column("split"), table.where, strict=True):
        value = UNUSED if cell.lower() == UNUSED else SPLIT_NAMES.get(cell.lower(), "")
        if name not in position:
            problems.append(f"{where}: the data have no image {name!r}")
        elif not value:
            problems.append(f"{where}: expected train, val, test or {UNUSED}, got {cell!r}")
        elif split[position[name]]:
            problems.append(f"{where}: {name!r} again")
        else:
            split[position[name]] = value
    if problems:
        remedy = "Use the split file that was made for these data."
        raise DataError([Problem("split file", message, remedy) for message in problems])
    unnamed = tuple(
        Problem("image without a split", f"{name} is not in {path.name}", "Add it to the split file.", (row,))
        for name, row in position.items()
        if not split[row]
    )
    same_test = manifest.split is not None and np.array_equal(split == "test", manifest.split == "test")
    published = manifest.published_split and same_test
    manifest = replace(manifest, split=split, published_split=published, problems=(*manifest.problems, *unnamed))
    used = np.flatnonzero(split != UNUSED)
    return manifest if len(used) == len(split) else manifest.subset(used)
