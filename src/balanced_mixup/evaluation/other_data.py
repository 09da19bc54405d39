"""External data to score a run on: their settings, and the split that is scored."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.groups import group_key
from balanced_mixup.data.sources.text_table import is_table, read_table
from balanced_mixup.errors import UsageError
from balanced_mixup.training.recipe import PLACES, Recipe

log = logging.getLogger("balanced_mixup")


def with_run_defaults(settings: DataSettings, recipe: Recipe, classes: tuple[str, ...], *, ordinal: bool) -> DataSettings:
    """Fill in missing settings from those of the run: label map, classes, column names and bit depth.

    Args:
        settings: Of the other data.
        recipe: Of the run.
        classes, ordinal: Of the run's data.

    Raises:
        UsageError: The settings name no data, or classes of their own.
    """
    if "data" not in settings.model_fields_set:
        raise UsageError(f"Expected `--data` with {', '.join(sorted(settings.model_fields_set))}: name the data to score.")
    own = settings.model_fields_set & {"classes", "ordinal"}
    if own:
        raise UsageError(f"Expected no {' and '.join(sorted(own))} with `evaluate`: they are the run's, {', '.join(classes)}.")
    fields = ["image_column", "label_column", "multi_label", "one_vs_rest", "bit_depth"]
    header = _header(settings.data)
    if recipe.group_column in header:
        fields.append("group_column")
    if recipe.label_columns and "label_column" not in settings.model_fields_set and set(recipe.label_columns) <= set(header):
        fields.append("label_columns")
    update = {name: getattr(recipe, name) for name in fields if name not in settings.model_fields_set}
    update |= {"classes": classes, "ordinal": ordinal, "label_map": {**recipe.label_map, **settings.label_map}}
    return settings.model_copy(update=update)


def with_absolute_places(settings: DataSettings) -> dict[str, Any]:
    """Return settings for JSON, with absolute paths, valid from any folder."""
    given = {name: getattr(settings, name) for name in PLACES if name in DataSettings.model_fields}
    places = {name: str(Path(path).resolve()) if path and Path(path).exists() else path for name, path in given.items()}
    return {**settings.model_dump(mode="json"), **places}


def _header(data: str) -> list[str]:
    """Return the column names if `data` is a table."""
    path = Path(data)
    return read_table(path).header if path.is_file() and is_table(path) else []


def choose_rows(manifest: Manifest, split: str | None) -> tuple[npt.NDArray[np.int64], str]:
    """Return the rows to score and the name of their split: `split`, or "test" where there is one, else "all".

    Raises:
        UsageError: The data have no such split.
    """
    has_test = manifest.split is not None and (manifest.split == "test").any()
    split = split or ("test" if has_test else "all")
    if split == "all":
        return np.arange(len(manifest)), split
    rows = manifest.rows(split)
    if not len(rows):
        raise UsageError(
            f"Expected data with a split {split!r}, but they have no image in it; `--split all` scores all of them."
        )
    return rows, split


def warn_of_shared_groups(manifest: Manifest, rows: npt.NDArray[np.int64], trained: Collection[str]) -> None:
    """Warn of groups of the scored rows that are among the `trained` ones."""
    if manifest.groups is None:
        return
    known = {group_key(group) for group in trained}
    shared = {group for group in set(manifest.groups[rows].tolist()) - {""} if group_key(group) in known}
    if shared:
        log.warning(
            "Groups that occur under the same name in the training data: %d (such as %r). If they are the same patients, these "
            "scores are optimistic.",
            len(shared),
            min(shared),
        )
