"""External data that every run is scored on, such as Messidor-2: checked before the first run, not after the last."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from balanced_mixup.benchmark.protocols import Fold
from balanced_mixup.data.copies import copied_rows
from balanced_mixup.data.preparation import Cache, Prepared, prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.other_data import choose_rows, warn_of_shared_groups, with_run_defaults
from balanced_mixup.training.recipe import Recipe

log = logging.getLogger("balanced_mixup")


def scan_external(
    data: str, external: Mapping[str, DataSettings], prepared: Prepared, folds: Sequence[Fold], recipe: Recipe
) -> dict[str, int]:
    """Return how many images of each of the other data will be scored.

    Args:
        data: Name of the data set that is trained on.
        external: Settings of the other data, by name.
        prepared: The N images of the data set.
        folds: Their divisions.
        recipe: Settings of the data set.

    Raises:
        UsageError: Some of these images are trained on in a run, or the settings do not fit.
        DataError: Something is wrong with the other data.
    """
    manifest = prepared.manifest
    trained = np.flatnonzero(np.any([np.isin(fold.split, ("train", "val")) for fold in folds], axis=0))
    digests = {prepared.digests[row] for row in trained} | {prepared.copies.same[row] for row in trained}
    counts = {}
    for name, settings in external.items():
        log.info("Reading the external data %s, on which runs trained on %s are scored.", name, data)
        chosen = with_run_defaults(settings, recipe, manifest.classes, ordinal=manifest.ordinal)
        cache = Cache(recipe.cache, recipe.cache_dir)
        near = recipe.near_copies and chosen.near_copies
        other = prepare(load(chosen), recipe.size, cache=cache, exclude_bad=chosen.exclude_bad, near_copies=near)
        rows, _ = choose_rows(other.manifest, None)
        seen = [row for row in rows if not digests.isdisjoint((other.digests[row], other.copies.same[row]))]
        if near:
            copied = copied_rows(other.pixels.subset(rows), prepared.pixels.subset(trained))
            seen = sorted({*seen, *rows[copied].tolist()})
        if seen:
            raise UsageError(
                f"Expected external data without images that are trained on, but {len(seen)} of the {len(rows)} images of "
                f"{name!r} are in {data!r} too, as they are or as near copies, the first is "
                f"{other.manifest.images.names[seen[0]]!r}: scores on them would be optimistic. Leave them out of one of the "
                "two."
            )
        if manifest.groups is not None:
            warn_of_shared_groups(other.manifest, rows, manifest.groups[trained].tolist())
        counts[name] = len(rows)
    return counts
