"""Problems between the images of a data set, found after each of them was read: duplicates, leaks, small classes."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.errors import Problem

LEAK = "identical images in different splits"

_IN_WORDS = {"train": "training", "val": "validation", "test": "test"}


def identical_images(manifest: Manifest, digests: Sequence[str]) -> list[Problem]:
    """Report images with the same content and different names.

    Args:
        manifest: With its own split, if it has one.
        digests: (N,), of each image; "" if unknown.
    """
    first: dict[str, int] = {}
    copies: dict[int, dict[str, int]] = {}  # by their first row, of each name the first row
    names = manifest.images.names
    for row, digest in enumerate(digests):
        if digest and (earlier := first.setdefault(digest, row)) != row:
            copies.setdefault(earlier, {names[earlier]: earlier}).setdefault(names[row], row)
    groups = (tuple(rows.values()) for _, rows in sorted(copies.items()) if len(rows) > 1)
    return [problem for rows in groups for problem in _check_copies(manifest, rows)]


def _check_copies(manifest: Manifest, rows: tuple[int, ...]) -> list[Problem]:
    names = [repr(manifest.images.names[row]) for row in rows]
    classes = [manifest.classes[label] if (label := manifest.labels[row]) >= 0 else "" for row in rows]
    splits = [""] * len(rows) if manifest.split is None else [str(manifest.split[row]) for row in rows]
    problems = []
    if len(set(classes) - {""}) > 1:
        message = f"expected one label, got {_list(names, classes)}, which are the same image"
        remedy = "Check which label is right, and keep only that image."
        problems.append(Problem("identical images with different labels", message, remedy, rows))
    if len(set(splits) - {""}) > 1:
        message = f"expected one split, got {_list(names, splits)}, which are the same image"
        last = max(splits, key=("", *SPLITS).index)
        remedy = "Keep the image in one split; --exclude-bad keeps the copy in the test split, or else in validation."
        others = tuple(row for row, split in zip(rows, splits, strict=True) if split != last)
        problems.append(Problem(LEAK, message, remedy, others, fatal=not manifest.published_split))
    if not problems:
        message = f"{_list(names)} are the same image; all of them go to the same split"
        remedy = "Remove the copies if they are not intended; they have more weight than other images."
        problems.append(Problem("identical images", message, remedy, rows, fatal=False))
    return problems


def _list(names: Sequence[str], notes: Sequence[str] | None = None, at_most: int = 6) -> str:
    """Return "a (x), b (y) and c (z)", cut after `at_most`."""
    items = list(names) if notes is None else [f"{name} ({note})" for name, note in zip(names, notes, strict=True)]
    if len(items) > at_most:
        items[at_most:] = [f"{len(items) - at_most} more"]
    return ", ".join(items[:-1]) + f" and {items[-1]}"


def divided_groups(manifest: Manifest) -> list[Problem]:
    """Report groups with images in several splits."""
    if manifest.groups is None or manifest.split is None:
        return []
    counts_of: dict[str, Counter[str]] = defaultdict(Counter)
    for group, split in zip(manifest.groups.tolist(), manifest.split.tolist(), strict=True):
        if split:
            counts_of[group][split] += 1
    remedy = "Keep each group in one split, or give no split (--split-column, --test-data) to have the data split by group."
    return [
        Problem(
            "group in several splits",
            f"expected all images of group {group!r} in one split, got "
            + _list([f"{counts[split]} in {split}" for split in SPLITS if counts[split]]),
            remedy,
        )
        for group, counts in counts_of.items()
        if len(counts) > 1
    ]


def empty_splits(planned: Manifest, needed: Collection[str]) -> list[Problem]:
    """Report the `needed` splits that have no images, and a training split with a single class."""
    problems = []
    for split in SPLITS:
        if split in needed and len(planned.rows(split)) == 0:
            message = f"expected images for {_IN_WORDS[split]}, got none of {_amount(planned, np.arange(len(planned)))}"
            remedy = "Provide more images, another fraction, or data that have this split."
            problems.append(Problem("empty split", message, remedy))
    trained = [planned.classes[k] for k in np.flatnonzero(planned.counts("train"))]
    if "train" in needed and len(trained) == 1 < len(planned.classes):
        message = f"expected training images of at least two classes, got only {trained[0]!r}"
        problems.append(Problem("too few classes", message, "Check labels, classes and split."))
    return problems


def small_classes(planned: Manifest) -> list[Problem]:
    """Report each class that does not have images in every split, and the consequences."""
    splits = [split for split in SPLITS if len(planned.rows(split))]
    counts = np.array([planned.counts(split) for split in splits]).reshape(len(splits), len(planned.classes))
    return [
        _small_class(planned, k, dict(zip(splits, counts[:, k].tolist(), strict=True)))
        for k in np.flatnonzero((counts == 0).any(axis=0)).tolist()
    ]


def _small_class(planned: Manifest, k: int, counts: Mapping[str, int]) -> Problem:
    """Describe class `k`, which has `counts` images by split."""
    name, n = planned.classes[k], sum(counts.values())
    if n == 0:
        message = f"class {name!r} has no images: it cannot be learnt and has no scores"
        remedy = "Check the spelling of the class, or leave it out of --classes."
        return Problem("class without images", message, remedy, fatal=False)
    missing = " and ".join(_IN_WORDS[split] for split, count in counts.items() if not count)
    if n == 1:
        where = "it goes to " + next(_IN_WORDS[split] for split, count in counts.items() if count)
        effect = "its scores cannot be measured"
    else:
        where = ", ".join(f"{count} for {_IN_WORDS[split]}" for split, count in counts.items())
        effect = f"its scores cannot be measured in {missing}"
    message = f"class {name!r} has {_amount(planned, np.flatnonzero(planned.labels == k))}: {where}, "
    remedy = "Add images of the class, or merge it with another by --label-map; training continues without."
    if counts.get("train", 1) > 0:
        return Problem("class too small for the split", message + effect, remedy, fatal=False)
    return Problem("class without training images", message + "it cannot be learnt", remedy, fatal=False)


def _amount(manifest: Manifest, rows: npt.NDArray[np.int64]) -> str:
    images = "1 image" if len(rows) == 1 else f"{len(rows)} images"
    if manifest.groups is None or len(rows) == 1:
        return images
    n = len(np.unique(manifest.groups[rows]))
    return f"{images} in {n} group{'s' * (n > 1)}"
