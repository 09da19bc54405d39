"""Problems between the images of a data set, found after each of them was read: duplicates, leaks, small classes."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.copies import Copies
from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.errors import Problem

LEAKS = {"identical images in different splits", "near copies in different splits"}

_IN_WORDS = {"train": "training", "val": "validation", "test": "test"}


def identical_images(manifest: Manifest, copies: Copies) -> list[Problem]:
    """Report images with the same content and different names; `manifest` has its own split, if any."""
    return [problem for rows in _sets(manifest, copies.same) for problem in _check_copies(manifest, rows, _IDENTICAL)]


def near_copies(manifest: Manifest, copies: Copies) -> list[Problem]:
    """Report images that are copies of each other, re-encoded, resized, mirrored ..., and not just identical."""
    if not copies.near:
        return []
    several = (rows for rows in _sets(manifest, copies.together) if len({copies.same[row] for row in rows}) > 1)
    return [problem for rows in several for problem in _check_copies(manifest, rows, _NEAR)]


def _sets(manifest: Manifest, keys: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the rows with equal keys, "" excepted, of each name the first; sets of one name are left out."""
    first: dict[str, int] = {}
    copies: dict[int, dict[str, int]] = {}  # by their first row, of each name the first row
    names = manifest.images.names
    for row, key in enumerate(keys):
        if key and (earlier := first.setdefault(key, row)) != row:
            copies.setdefault(earlier, {names[earlier]: earlier}).setdefault(names[row], row)
    return [tuple(rows.values()) for _, rows in sorted(copies.items()) if len(rows) > 1]


@dataclass(frozen=True)
class _Likeness:
    """What copies are called: the kind of the problem, what they are, what else can be done; whether that is certain."""

    kind: str
    are: str
    otherwise: str
    certain: bool


_IDENTICAL = _Likeness("identical images", "are the same image", "", certain=True)
_NEAR = _Likeness(
    "near copies", "look like copies of one image", " If they are different images, use --no-near-copies.", certain=False
)


def _check_copies(manifest: Manifest, rows: tuple[int, ...], alike: _Likeness) -> list[Problem]:
    names = [repr(manifest.images.names[row]) for row in rows]
    classes = [manifest.classes[label] if (label := manifest.labels[row]) >= 0 else "" for row in rows]
    splits = [""] * len(rows) if manifest.split is None else [str(manifest.split[row]) for row in rows]
    problems = []
    if len(set(classes) - {""}) > 1:
        message = f"expected one label, got {_list(names, classes)}, which {alike.are}"
        remedy = "Check which label is right, and keep only that image." + alike.otherwise
        problems.append(Problem(f"{alike.kind} with different labels", message, remedy, rows, fatal=alike.certain))
    if len(set(splits) - {""}) > 1:
        message = f"expected one split, got {_list(names, splits)}, which {alike.are}"
        last = max(splits, key=("", *SPLITS).index)
        remedy = "Keep the image in one split; --exclude-bad keeps the copy in the test split, or else in validation."
        others = tuple(row for row, split in zip(rows, splits, strict=True) if split != last)
        kind = f"{alike.kind} in different splits"
        problems.append(Problem(kind, message, remedy + alike.otherwise, others, fatal=not manifest.published_split))
    if not problems:
        message = f"{_list(names)} {alike.are}; all of them go to the same split"
        remedy = "Remove the copies if they are not intended; they have more weight than other images." + alike.otherwise
        problems.append(Problem(alike.kind, message, remedy, rows, fatal=False))
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
