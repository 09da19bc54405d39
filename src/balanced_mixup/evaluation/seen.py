"""Images to score that a run was trained on, or that are copies of such images: scores on them would be optimistic."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.copies import copied_rows
from balanced_mixup.data.preparation import Cache, Prepared, read
from balanced_mixup.data.sources import load
from balanced_mixup.errors import DataError, RunError, UsageError
from balanced_mixup.evaluation.other_data import warn_of_shared_groups

if TYPE_CHECKING:
    import pandas as pd

    from balanced_mixup.data.pixels import Pixels
    from balanced_mixup.runs.run import Run

log = logging.getLogger("balanced_mixup")


def refuse_seen(
    run: Run,
    prepared: Prepared,
    rows: npt.NDArray[np.int64],
    *,
    allow_seen: bool,
    near_copies: bool,
    sensitivity: Mapping[str, float] | None,
) -> None:
    """Refuse images of the training or validation split, and copies of them.

    A threshold is never scored on the validation images, which chose it.

    Args:
        run: The run that is scored.
        prepared: Other data.
        rows: Those of them to score.
        allow_seen: Refuse no image that was trained on.
        near_copies: Refuse near copies, too, as far as the images of the run are still where they were.
        sensitivity: By class, where thresholds are wanted.

    Raises:
        UsageError: There are such images, or the list of the run's images is damaged.
    """
    images = run.images
    if "group" not in images:
        raise UsageError(f"The run's {run.folder.manifest.name} is damaged: it has no 'group'.")
    trained = images[images["split"].isin(("train", "val"))]
    if not allow_seen:
        seen, near = _seen(run, prepared, rows, trained, near_copies=near_copies)
        if len(seen):
            raise UsageError(
                f"{len(seen)} of the {len(rows)} images to score were used to train this run"
                f"{f' ({near} of them as near copies)' * bool(near)}, the first is "
                f"{prepared.manifest.images.names[seen[0]]!r}: scores on them would be optimistic. Leave them out, score the "
                "held-out split (`bmixup evaluate RUN`, without --data), or add `--allow-seen`."
                + " Near copies that are other images are accepted with `--no-near-copies`."
                * bool(near)
            )
    elif sensitivity:
        seen, _ = _seen(run, prepared, rows, trained[trained["split"] == "val"], near_copies=near_copies)
        if len(seen):
            raise UsageError(
                "Expected data without validation images of the run with `sensitivity`: thresholds are chosen on these. Leave "
                "them out, or score without `--sensitivity`."
            )
    warn_of_shared_groups(prepared.manifest, rows, set(trained["group"]) - {""})


def _seen(
    run: Run, prepared: Prepared, rows: npt.NDArray[np.int64], of: pd.DataFrame, *, near_copies: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """Return those of `rows` that are, or are copies of, images `of` the run, and how many are near copies alone."""
    known = set(of["digest"]) | (set(of["content"]) if "content" in of else set())
    same = np.array([not known.isdisjoint((prepared.digests[row], prepared.copies.same[row])) for row in rows], np.bool_)
    near = np.zeros(len(rows), np.bool_)
    others = np.flatnonzero(~same)
    if near_copies and len(others) and (pixels := _pixels(run, of)) is not None:
        near[others[copied_rows(prepared.pixels.subset(rows[others]), pixels)]] = True
    return rows[same | near], int(near.sum())


def _pixels(run: Run, of: pd.DataFrame) -> Pixels | None:
    """Return the pixels of the images `of` the run that are still where they were; None, with a warning, for none of them."""
    recipe, digest = run.recipe, dict(zip(of["image"], of["digest"], strict=True))
    lost = "Images that are near copies of them cannot be recognised, only those of the same content."
    try:
        manifest = load(recipe)
        there = np.array([row for row, name in enumerate(manifest.images.names) if name in digest], np.int64)
        manifest = manifest.subset(there)
        cache = Cache(recipe.cache, recipe.cache_dir)
        pixels, inspection = read(manifest, run.model.size, cache, near_copies=False)
    except (DataError, UsageError, RunError) as error:
        log.warning("The images that the run was trained on cannot be read (%s). %s", str(error).splitlines()[0], lost)
        return None
    names = manifest.images.names
    same = np.array([digest[name] == now for name, now in zip(names, inspection.digests, strict=True)], np.bool_)
    if same.sum() < len(digest):
        missing = len(digest) - int(same.sum())
        log.warning("Of the images that the run was trained on, %d are missing or have changed. %s", missing, lost)
    return pixels.subset(np.flatnonzero(same)) if same.any() else None
