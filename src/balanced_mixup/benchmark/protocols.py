"""How a data set is divided for a benchmark, and which split is scored.

A data set with its own test split keeps it (unless folds are requested): there is one division, and a fraction of its training
split is for validation. Any other is cross-validated, with other folds for each repeat.

The splitting code is imported where it is used, so that listing the protocols is fast.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.settings import SPLIT_VERSION
from balanced_mixup.errors import UsageError
from balanced_mixup.randomness import key_of

if TYPE_CHECKING:
    from balanced_mixup.data.manifest import Manifest
    from balanced_mixup.data.preparation import Prepared

log = logging.getLogger("balanced_mixup")

Scheme = Literal["auto", "given", "folds"]


@dataclass(frozen=True)
class Protocol:
    """One way to divide and score.

    Args:
        name: As in a plan.
        summary: One line for `bmixup list`.
        keeps_groups: Images of one group are always in the same split.
        chooses_on_scored: In cross-validation the epoch is chosen on the very fold that is scored.
    """

    name: str
    summary: str
    keeps_groups: bool
    chooses_on_scored: bool


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "honest",
            "groups stay whole; the epoch is chosen on a fraction of the training folds; the test fold is scored once",
            keeps_groups=True,
            chooses_on_scored=False,
        ),
        Protocol(
            "paper",
            "as published: split by image, the epoch is chosen on the fold that is scored (so scores are optimistic)",
            keeps_groups=False,
            chooses_on_scored=True,
        ),
    )
}


@dataclass(frozen=True)
class Fold:
    """One division of a data set.

    Args:
        name: "r0f3" is fold 3 of repeat 0, "r0" the given test split.
        split: str (N,), "train", "val" or "test".
        scored: The split that is scored.
        test_share: Scored images over training images, for the corrected t-test; None where the test split is given.
    """

    name: str
    split: npt.NDArray[np.str_]
    scored: str
    test_share: float | None


def divide(
    data: str,
    prepared: Prepared,
    protocol: Protocol,
    *,
    scheme: Scheme = "auto",
    folds: int = 5,
    repeats: int = 1,
    val_fraction: float = 0.1,
    seed: int = 0,
    split_version: int = SPLIT_VERSION,
    published_folds: npt.NDArray[np.int64] | None = None,
) -> list[Fold]:
    """Return the divisions of a data set, the same for every method.

    Args:
        data: Name of the data set, for messages.
        prepared: The N images. Those of equal content stay together under every protocol.
        protocol: How to divide.
        scheme: "given" keeps the data set's own test split, "folds" uses all images, "auto" is "given" where there is one.
        folds: Number of folds.
        repeats: Number of repeats, each with other folds.
        val_fraction: Fraction of the training images that chooses the epoch.
        seed: Seed of the folds.
        split_version: How splits are made; see `make_split`.
        published_folds: (N,), the fold of each image, where they are published; then there is one repeat.

    Raises:
        UsageError: A required test split is missing, there are too few images for every split, or published folds divide a
            group.
    """
    from balanced_mixup.data.folds import check_published, k_folds
    from balanced_mixup.data.splits import given_splits, make_split, merge_groups

    manifest = prepared.manifest
    groups = merge_groups(len(manifest), manifest.groups if protocol.keeps_groups else None, prepared.digests)
    has_test = "test" in given_splits(manifest)
    if scheme == "given" and not has_test:
        raise UsageError(f"Expected the data {data!r} to have a test split, as `scheme: given` requires, but they have none.")

    def with_validation(split: npt.NDArray[np.str_], repeat: int, fold: int) -> npt.NDArray[np.str_]:
        rows = np.flatnonzero(split == "train")
        fractions = {"train": 1 - val_fraction, "val": val_fraction}
        own = None if groups is None else groups[rows]
        key = key_of(seed, "validation", repeat, fold)
        split[rows] = make_split(manifest.labels[rows], own, fractions, key, split_version)
        return split

    if manifest.split is not None and (scheme == "given" or (scheme == "auto" and has_test and published_folds is None)):
        given = manifest.split.astype("<U5")
        if "val" in given_splits(manifest):
            _note_unused(data, "the data have all three splits", repeats=(repeats, 1))
            return [_fold(data, "r0", given, "test", given=True)]
        splits = [with_validation(given.copy(), repeat, 0) for repeat in range(repeats)]
        return [_fold(data, f"r{repeat}", split, "test", given=True) for repeat, split in enumerate(splits)]
    if published_folds is None:
        keys = [key_of(seed, "folds", repeat) for repeat in range(repeats)]
        divisions = [k_folds(manifest.labels, groups, folds, key, split_version) for key in keys]
    else:
        check_published(data, published_folds, groups, manifest.images.names)
        count = len(np.unique(published_folds))
        _note_unused(data, "their folds are published", folds=(folds, count), repeats=(repeats, 1))
        divisions = [published_folds]
    _warn_of_rare_classes(data, manifest, divisions)
    result = []
    for repeat, of in enumerate(divisions):
        for fold in np.unique(of).tolist():
            tested = of == fold
            if protocol.chooses_on_scored:
                split, scored = np.where(tested, "val", "train").astype("<U5"), "val"
            else:
                split, scored = with_validation(np.where(tested, "test", "train").astype("<U5"), repeat, fold), "test"
            result.append(_fold(data, f"r{repeat}f{fold}", split, scored, given=False))
    return result


def _fold(data: str, name: str, split: npt.NDArray[np.str_], scored: str, *, given: bool) -> Fold:
    count = {name: int((split == name).sum()) for name in ("train", "val", scored)}
    empty = [name for name, images in count.items() if not images]
    if empty:
        raise UsageError(
            f"Expected images of the data {data!r} in every split, but the division {name} of {len(split)} images has none in "
            f"{' and '.join(empty)}. Use more images, fewer `folds`, or another `val_fraction`."
        )
    return Fold(name, split, scored, None if given else count[scored] / count["train"])


def _note_unused(data: str, reason: str, **settings: tuple[int, int]) -> None:
    """Log which settings of the plan have no effect, each given as (value in the plan, value in effect)."""
    for name, (planned, effective) in settings.items():
        if planned != effective:
            log.info("%s: `%s` is %d instead of %d, as %s.", data, name, effective, planned, reason)


def _warn_of_rare_classes(data: str, manifest: Manifest, divisions: Sequence[npt.NDArray[np.int64]]) -> None:
    folds = [of == fold for of in divisions for fold in np.unique(of)]
    scored = np.array([np.bincount(manifest.labels[fold], minlength=len(manifest.classes)) > 0 for fold in folds])
    for name, images, inside in zip(manifest.classes, manifest.counts().tolist(), scored.sum(0).tolist(), strict=True):
        if 0 < inside < len(folds):
            log.warning(
                "%s: the class %s has too few images (%d), or groups of them, for the folds: %d of %d folds are scored without "
                "it, and class-averaged scores leave it out there.",
                data, name, images, len(folds) - inside, len(folds),
            )  # fmt: skip
