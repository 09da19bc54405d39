"""A folder made by `bmixup prepare`: a table with known columns, classes, groups and split."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import csv
from balanced_mixup.errors import DataError, Problem, UsageError
from balanced_mixup.settings_file import load_yaml

DATASET = "dataset.yaml"  # what the data set is; written last
LABELS = "labels.csv"
PROBLEMS = "problems.csv"

_REMEDY = "Run the same `bmixup prepare` again to resume it."


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the prepared folder `settings.data`.

    The classes are those of the data set in their order, renamed by the label map if there is one; `settings.classes` override
    them, such as when a trained classifier with another order is to be scored.

    Raises:
        UsageError: The folder is not fully prepared, or its classes are not ordinal although `settings` declares them to be.
        DataError: Its files are damaged.
    """
    about = _about(Path(settings.data))
    if settings.ordinal and not about["ordinal"]:
        raise UsageError(f"Expected no --ordinal with {settings.data!r}: the classes of {about['title']} are not ordinal.")
    return replace(csv.load(as_table(settings)), published_split="split" in about["columns"])


def as_table(settings: DataSettings) -> DataSettings:
    """Return the settings that read the table of the prepared folder `settings.data`. UsageError, DataError as `load`."""
    root = Path(settings.data)
    about = _about(root)
    columns = about["columns"]
    update = {
        "data": str(root / LABELS),
        "image_column": columns["image"],
        "label_column": columns["label"],
        "group_column": columns.get("group"),
        "split_column": columns.get("split"),
        "classes": settings.classes or tuple(dict.fromkeys(settings.label_map.get(name, name) for name in about["classes"])),
        "ordinal": about["ordinal"],
    }
    return settings.model_copy(update=update)


def _about(root: Path) -> dict[str, Any]:
    path = root / DATASET
    if not path.exists():
        raise UsageError(f"Expected {str(root)!r} to be fully prepared, but it has no {DATASET}. {_REMEDY}")
    try:
        about = load_yaml(path)
        columns = about["columns"]
        if about["classes"] and about["title"] and columns["image"] and columns["label"] and "ordinal" in about:
            return about
    except (UsageError, TypeError, KeyError) as error:
        raise DataError([Problem("damaged data set", f"{path}: cannot be parsed ({error!r})", _REMEDY)]) from error
    raise DataError([Problem("damaged data set", f"{path}: expected title, classes, ordinal and columns", _REMEDY)])
