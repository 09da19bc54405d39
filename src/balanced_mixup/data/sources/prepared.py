"""A folder that `bmixup prepare` has made: a table whose columns, classes, groups and split are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import csv
from balanced_mixup.datasets.prepared_folder import DATASET, LABELS
from balanced_mixup.errors import DataError, Problem, UsageError


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the prepared folder `settings.data`.

    The classes are those of the data set in their order, renamed by the label map if there is one; `settings.classes` go over
    them, as when a trained classifier with an order of its own is to be scored.

    Raises:
        UsageError: The folder is not prepared to the end, or its classes are no grades although `settings` says so.
        DataError: Its files are damaged.
    """
    root = Path(settings.data)
    about = _about(root)
    if settings.ordinal and not about["ordinal"]:
        raise UsageError(f"Expected no --ordinal with {settings.data!r}: the classes of {about['title']} are no grades.")
    renamed = (settings.label_map.get(name, name) for name in about["classes"])
    columns = about["columns"]
    table = settings.model_copy(
        update={
            "data": str(root / LABELS),
            "image_column": columns["image"],
            "label_column": columns["label"],
            "group_column": columns.get("group"),
            "split_column": columns.get("split"),
            "classes": settings.classes or tuple(dict.fromkeys(renamed)),
            "ordinal": about["ordinal"],
        }
    )
    return replace(csv.load(table), published_split="split" in columns)


def _about(root: Path) -> dict[str, Any]:
    path = root / DATASET
    remedy = "Give the same `bmixup prepare` again; it goes on where it was."
    try:
        about = yaml.safe_load(path.read_text(encoding="utf-8"))
        if (
            about["classes"]
            and about["title"]
            and about["columns"]["image"]
            and about["columns"]["label"]
            and "ordinal" in about
        ):
            return dict(about)
    except FileNotFoundError:
        raise UsageError(f"Expected {str(root)!r} to be prepared to the end, but it has no {DATASET}. {remedy}") from None
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise DataError([Problem("damaged data set", f"{path}: cannot be understood ({error!r})", remedy)]) from error
    raise DataError([Problem("damaged data set", f"{path}: expected title, classes, ordinal and columns", remedy)])
