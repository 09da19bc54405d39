"""A folder of class folders: the name of a folder is the class; above them may be one folder for each split."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from balanced_mixup.data.images import EXTENSIONS, FileImages
from balanced_mixup.data.manifest import SPLIT_NAMES, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.label_names import encode
from balanced_mixup.errors import DataError, Problem

_EXPECTED = "Expected DIR/<class>/image.jpg, or DIR/train/<class>/image.jpg, DIR/val/<class>/... and DIR/test/<class>/..."


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the folder `settings.data`, images in the order of their paths.

    Raises:
        DataError: A folder cannot be read, there are no images in class folders, or splits and classes are mixed.
    """
    root = Path(settings.data)
    split_folders = _split_folders(root)
    names: list[str] = []
    raw: list[str] = []
    split: list[str] = []
    problems = [_ignored_file(root, path) for path in _visible(root) if not path.is_dir()] if split_folders else []
    for name, parent in split_folders or [("", root)]:
        for entry in _visible(parent):
            if not entry.is_dir():
                problems.append(_ignored_file(root, entry))
                continue
            images, others = find_images(entry)
            problems += [_ignored_file(root, path) for path in others]
            if not images:
                message = f"{entry.relative_to(root)}: expected images of a class, got none"
                problems.append(Problem("empty class folder", message, "Add images, or remove the folder.", fatal=False))
            names += [file.relative_to(root).as_posix() for file in images]
            raw += [entry.name] * len(images)
            split += [name] * len(images)
    if not names:
        raise DataError([Problem("no class folders", f"{root}: no images in class folders", _EXPECTED)])
    labels, classes, label_problems = encode(
        raw,
        names,
        settings.classes,
        settings.label_map,
        settings.ordinal,
        multi_label=settings.multi_label,
        one_vs_rest=settings.one_vs_rest,
    )
    return Manifest(
        images=FileImages(root, names),
        labels=labels,
        classes=classes,
        ordinal=settings.ordinal,
        split=np.array(split, dtype=np.str_) if split_folders else None,
        problems=(*problems, *label_problems),
    )


def find_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images under `folder` and its other files, by extension, both sorted; hidden ones are skipped.

    Raises:
        DataError: A folder cannot be read.
    """
    images: list[Path] = []
    others: list[Path] = []
    for parent, _, names in walk(folder):
        for name in names:
            if not name.startswith("."):
                path = parent / name
                (images if path.suffix.lower() in EXTENSIONS else others).append(path)
    return sorted(images), sorted(others)


def walk(root: Path, skip: Iterable[str] = ()) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder under `root` with the names of its folders, which may be removed to skip them, and of its files.

    Links are followed, and each folder is visited once. Hidden folders and folders with a file named in `skip` are skipped.

    Raises:
        DataError: A folder cannot be read.
    """
    seen: set[str] = set()  # links can lead back
    for parent, folders, names in os.walk(root, onerror=_unreadable, followlinks=True):
        if (place := os.path.realpath(parent)) in seen or not set(skip).isdisjoint(names):
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield Path(parent), folders, sorted(names)


def _unreadable(error: OSError) -> None:
    raise DataError([Problem("unreadable folder", str(error), "Check the folder's permissions and the disk.")]) from error


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        _unreadable(error)
        raise


def _split_folders(root: Path) -> list[tuple[str, Path]]:
    """Return each split and the folder of its class folders; none if no split is given."""
    folders = [path for path in _visible(root) if path.is_dir()]
    splits = [path for path in folders if path.name.lower() in SPLIT_NAMES and any(map(Path.is_dir, _visible(path)))]
    mixed = [path.name for path in folders if path not in splits]
    if splits and mixed:
        message = f"{root}: expected only splits or only classes, got {splits[0].name!r} beside {mixed[0]!r}"
        raise DataError([Problem("splits beside classes", message, _EXPECTED)])
    return [(SPLIT_NAMES[path.name.lower()], path) for path in splits]


def _ignored_file(root: Path, path: Path) -> Problem:
    """Describe a file that is ignored: an image without a class, or a file that is not an image by its extension."""
    kind = "image without a class folder" if path.suffix.lower() in EXTENSIONS else "not an image by its extension"
    return Problem(kind, f"{path.relative_to(root)} is left out", _EXPECTED, fatal=False)
