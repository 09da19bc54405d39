"""Where data sets come from: a table, a folder of class folders, a MedMNIST-format npz, a prepared folder, or built in.

A new kind is one file with a function from settings to a manifest, and a line in each of the two tables here. A source is
imported when it is used, so listing them costs nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from balanced_mixup.datasets.card import PREPARED
from balanced_mixup.datasets.cards import TASKS
from balanced_mixup.errors import UsageError, nearest

if TYPE_CHECKING:
    from balanced_mixup.data.manifest import Manifest
    from balanced_mixup.data.settings import DataSettings

SOURCES = {
    "csv": "LABELS.csv or .tsv: one row an image, with columns for the image, its class and, if any, group and split",
    "folder": "DIR/<class>/..., or DIR/train/<class>/..., DIR/val/<class>/... where the split is given",
    "npz": "FILE.npz in the format of MedMNIST: train_images, train_labels, val_images, ...",
    "prepared": "DIR that `bmixup prepare` has made of a published data set; brings its classes, groups and split",
    "synthetic-fundus": "built in: procedural fundus photographs, grades 0-4 with EyePACS's class shares, two eyes a patient",
}


def load(settings: DataSettings) -> Manifest:
    """Return the data set that `settings` describe, before any image is opened.

    Raises:
        UsageError: There is no such source, or it does not take one of the settings.
        DataError: The source itself cannot be read. Problems of single rows are left in the manifest instead.
    """
    kind = kind_of(settings.data)
    if kind != "csv":
        _refuse_table_settings(settings, kind)
    manifest = _LOADERS[kind](settings)
    if settings.ignore_groups:
        manifest = replace(manifest, groups=None)
    if settings.split_file is not None:
        from balanced_mixup.data.folds import with_split_file

        manifest = with_split_file(manifest, settings.split_file)
    return manifest


def kind_of(data: str) -> str:
    """Return which of `SOURCES` the data are. UsageError where they are none, or are not there."""
    path = Path(data)
    if not data:
        raise UsageError(f"Expected `--data`: {_KINDS}, but got none.")
    if data in BUILT_IN:
        return data
    if path.is_dir():
        return "prepared" if (path / PREPARED).is_file() else "folder"
    if path.is_file() and path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if data in TASKS and not path.exists():
        raise UsageError(
            f"Expected the data to be {_KINDS}, but {data!r} is the name of a published data set. Get it as `bmixup list "
            f"sources {data}` says, make a folder of it with `bmixup prepare {data} --root RAW --out DIR`, and name DIR."
        )
    raise UsageError(
        f"Expected the data to be {_KINDS}, but {data!r} {'is none of these' if path.exists() else 'does not exist'}."
        f"{nearest(data, (*BUILT_IN, *TASKS))}"
    )


def _refuse_table_settings(settings: DataSettings, kind: str) -> None:
    """A group or split column that was silently ignored would be a leak."""
    for name in ("images", "group_column", "split_column"):
        if getattr(settings, name) is not None:
            flag = "--" + name.replace("_", "-")
            raise UsageError(
                f"Expected {flag} only with a table (.csv, .tsv), but {settings.data!r} is a source of the kind {kind}. "
                f"Leave {flag} out, or describe the images by a table."
            )


def _csv(settings: DataSettings) -> Manifest:
    from balanced_mixup.data.sources import csv

    return csv.load(settings)


def _folder(settings: DataSettings) -> Manifest:
    from balanced_mixup.data.sources import class_folders as folder

    return folder.load(settings)


def _npz(settings: DataSettings) -> Manifest:
    from balanced_mixup.data.sources import npz

    return npz.load(settings)


def _prepared(settings: DataSettings) -> Manifest:
    from balanced_mixup.data.sources import prepared

    return prepared.load(settings)


@cache
def _photographs() -> Manifest:
    """Draw the built-in photographs; a second training in the same process, as in the demo, does not draw them again."""
    from balanced_mixup.datasets import synthetic

    return synthetic.synthetic_fundus(n=3000, size=96, seed=0)


def _synthetic_fundus(settings: DataSettings) -> Manifest:
    manifest = _photographs()
    if settings.classes not in (None, manifest.classes):
        raise UsageError(f"Expected no --classes with synthetic-fundus, whose classes are {', '.join(manifest.classes)}.")
    return manifest


_LOADERS = {"csv": _csv, "folder": _folder, "npz": _npz, "prepared": _prepared, "synthetic-fundus": _synthetic_fundus}
BUILT_IN = ("synthetic-fundus",)
_KINDS = f"a .csv or .tsv table, a folder of class folders, a MedMNIST-format .npz or a built-in source ({', '.join(BUILT_IN)})"
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".npz": "npz"}
