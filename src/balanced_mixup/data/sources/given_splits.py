"""Data whose splits are in several places: a table for training, and one each for validation and test."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.joined_images import JoinedImages
from balanced_mixup.data.manifest import SPLITS, Images, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import POSSIBLE_GROUPS
from balanced_mixup.data.sources.distinct import repeats
from balanced_mixup.data.sources.label_names import UNUSED_RENAME
from balanced_mixup.errors import Problem


def with_given_splits(first: Manifest, settings: DataSettings, load: Callable[[DataSettings], Manifest]) -> Manifest:
    """Return training data joined with the validation and test data that `settings` name.

    The classes are those of the training data, or the declared ones: a label that only other data have is a problem of its row.
    A split that the training data give stays; without one all of them are for training.

    Args:
        first: The data of `settings.data`.
        settings: With `val_data` or `test_data`.
        load: Function from settings to the manifest of their `data` alone.
    """
    parts, splits = [first], [np.full(len(first), "train") if first.split is None else first.split]
    for split, data in (("val", settings.val_data), ("test", settings.test_data)):
        if data is not None:
            own = {"data": data, "split_column": None, "classes": first.classes, "ordinal": first.ordinal}
            parts.append(load(settings.model_copy(update=own)))
            splits.append(np.full(len(parts[-1]), split))
    images = JoinedImages([part.images for part in parts])
    groups = [np.full(len(part), "") if part.groups is None else part.groups for part in parts]
    return replace(
        first,
        images=images,
        labels=np.concatenate([part.labels for part in parts]),
        groups=None if all(part.groups is None for part in parts) else np.concatenate(groups),
        split=np.concatenate(splits),
        published_split=False,
        problems=(*_problems(parts), *_repeated(images, np.concatenate(splits))),
    )


def _problems(parts: list[Manifest]) -> list[Problem]:
    """Return the problems of all parts, those of the whole once: unused renames, if they are in each part, and suggestions."""
    unused = set.intersection(*({_rename(problem) for problem in part.problems} for part in parts))
    problems = list(parts[0].problems)
    problems = [problem for problem in problems if problem.kind != UNUSED_RENAME or _rename(problem) in unused]
    start = len(parts[0])
    for part in parts[1:]:
        problems += [
            replace(problem, rows=tuple(row + start for row in problem.rows))
            for problem in part.problems
            if problem.kind not in (UNUSED_RENAME, POSSIBLE_GROUPS)
        ]
        start += len(part)
    return problems


def _rename(problem: Problem) -> str:
    """Return what identifies an unused rename: its message without the label that it may have meant."""
    return problem.message.partition(", but none occurs")[0] if problem.kind == UNUSED_RENAME else ""


def _repeated(images: Images, splits: npt.NDArray[np.str_]) -> list[Problem]:
    """Report files that are in several splits; those that a table repeats itself are its own problems."""
    problems = []
    remedy = "Remove it from all but one; --exclude-bad keeps it in the test data, or else in the validation data."
    for key, rows in repeats([images.key(row) for row in range(len(images))]).items():
        in_splits = list(dict.fromkeys(splits[rows].tolist()))
        if key and len(in_splits) > 1:
            last = max(in_splits, key=("", *SPLITS).index)
            others = tuple(row for row in rows if splits[row] != last)
            message = f"{key} is in the {' and in the '.join(f'{split} split' for split in in_splits)}"
            problems.append(Problem("image in several splits", message, remedy, others))
    return problems
