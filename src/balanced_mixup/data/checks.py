"""What can be wrong between the images of a data set, once each of them has been read: duplicates, leaks, small classes."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.errors import Problem

LEAK = "one image on both sides of the split"

_IN_WORDS = {"train": "training", "val": "validation", "test": "test"}


def identical_images(manifest: Manifest, digests: Sequence[str]) -> list[Problem]:
    """Name images that are the same under several names.

    Args:
        manifest: With its own split, if it has one.
        digests: (N,), of each image; "" where it is unknown.
    """
    rows_of: dict[str, dict[str, int]] = defaultdict(dict)
    for row, digest in enumerate(digests):
        rows_of[digest].setdefault(manifest.images.names[row], row)
    rows_of.pop("", None)
    copies = [tuple(rows.values()) for rows in rows_of.values() if len(rows) > 1]
    return [problem for rows in copies for problem in _judge_copies(manifest, rows)]


def _judge_copies(manifest: Manifest, rows: tuple[int, ...]) -> list[Problem]:
    names = [repr(manifest.images.names[row]) for row in rows]
    classes = [manifest.classes[label] if (label := manifest.labels[row]) >= 0 else "" for row in rows]
    parts = [""] * len(rows) if manifest.split is None else [str(manifest.split[row]) for row in rows]
    problems = []
    if len(set(classes) - {""}) > 1:
        message = f"expected one label, got {_list(names, classes)}, which are the same image"
        remedy = "Find out which label is right, and keep that image alone."
        problems.append(Problem("identical images with different labels", message, remedy, rows))
    if len(set(parts) - {""}) > 1:
        message = f"expected one part, got {_list(names, parts)}, which are the same image"
        last = max(parts, key=("", *SPLITS).index)
        remedy = "Keep the image in one part; --exclude-bad keeps the copy in the test part, or else in validation."
        loose = tuple(row for row, part in zip(rows, parts, strict=True) if part != last)
        problems.append(Problem(LEAK, message, remedy, loose, fatal=not manifest.published_split))
    if not problems:
        message = f"{_list(names)} are the same image; all of them go to the same part"
        remedy = "Remove the copies if they are not meant; they weigh more than other images."
        problems.append(Problem("identical images", message, remedy, rows, fatal=False))
    return problems


def _list(names: Sequence[str], notes: Sequence[str] | None = None, at_most: int = 6) -> str:
    """Return "a (x), b (y) and c (z)", cut after `at_most`."""
    items = list(names) if notes is None else [f"{name} ({note})" for name, note in zip(names, notes, strict=True)]
    if len(items) > at_most:
        items[at_most:] = [f"{len(items) - at_most} more"]
    return ", ".join(items[:-1]) + f" and {items[-1]}"


def divided_groups(manifest: Manifest) -> list[Problem]:
    """Name groups with images in several parts of the given split."""
    if manifest.groups is None or manifest.split is None:
        return []
    parts_of: dict[str, Counter[str]] = defaultdict(Counter)
    for group, part in zip(manifest.groups.tolist(), manifest.split.tolist(), strict=True):
        if part:
            parts_of[group][part] += 1
    problems = []
    for group, counts in parts_of.items():
        if len(counts) > 1:
            places = _list([f"{counts[part]} in {part}" for part in SPLITS if counts[part]])
            message = f"expected all images of group {group!r} in one part, got {places}"
            remedy = "Give a group to one part, or leave --split-column out to have the split made by group."
            problems.append(Problem("one group on both sides of the split", message, remedy))
    return problems


def empty_parts(planned: Manifest, wanted: Collection[str]) -> list[Problem]:
    """Name the parts among `wanted` that got no image, and a training part with a single class."""
    problems = []
    for part in SPLITS:
        if part in wanted and len(planned.rows(part)) == 0:
            message = f"expected images for {_IN_WORDS[part]}, got none of {_amount(planned, np.arange(len(planned)))}"
            remedy = "Give more images, another fraction, or a split that has this part."
            problems.append(Problem("empty part of the split", message, remedy))
    learnt = [planned.classes[k] for k in np.flatnonzero(planned.counts("train"))]
    if "train" in wanted and len(learnt) == 1 < len(planned.classes):
        message = f"expected training images of at least two classes, got {learnt[0]!r} alone"
        problems.append(Problem("too few classes", message, "Check labels, classes and split."))
    return problems


def small_classes(planned: Manifest) -> list[Problem]:
    """Say what happens to each class that does not have images in every part of the split."""
    parts = [part for part in SPLITS if len(planned.rows(part))]
    counts = np.array([planned.counts(part) for part in parts]).reshape(len(parts), len(planned.classes))
    return [
        _small_class(planned, k, dict(zip(parts, counts[:, k].tolist(), strict=True)))
        for k in np.flatnonzero((counts == 0).any(axis=0)).tolist()
    ]


def _small_class(planned: Manifest, k: int, counts: Mapping[str, int]) -> Problem:
    """Describe class `k`, of which the parts of the split have `counts` images."""
    name, n = planned.classes[k], sum(counts.values())
    if n == 0:
        message = f"class {name!r} has no images: it cannot be learnt and has no scores"
        remedy = "Check the spelling of the class, or leave it out of --classes."
        return Problem("class without images", message, remedy, fatal=False)
    learnt = counts.get("train", 1) > 0
    missing = " and ".join(_IN_WORDS[part] for part, count in counts.items() if not count)
    if n == 1:
        where = "it goes to " + next(_IN_WORDS[part] for part, count in counts.items() if count)
        effect = "its scores cannot be measured"
    else:
        where = ", ".join(f"{count} for {_IN_WORDS[part]}" for part, count in counts.items())
        effect = f"its scores cannot be measured in {missing}"
    message = f"class {name!r} has {_amount(planned, np.flatnonzero(planned.labels == k))}: {where}, "
    remedy = "Add images of the class, or join it to another with --label-map; training goes on without."
    if learnt:
        return Problem("class too small for the split", message + effect, remedy, fatal=False)
    return Problem("class without training images", message + "it cannot be learnt", remedy, fatal=False)


def _amount(manifest: Manifest, rows: npt.NDArray[np.int64]) -> str:
    images = "1 image" if len(rows) == 1 else f"{len(rows)} images"
    if manifest.groups is None or len(rows) == 1:
        return images
    n = len(np.unique(manifest.groups[rows]))
    return f"{images} in {n} group{'s' * (n > 1)}"
