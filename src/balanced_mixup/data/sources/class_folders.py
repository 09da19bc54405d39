"""A folder of class folders: the name of the folder is the class, and one level above it may stand the split."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from balanced_mixup.data.images import EXTENSIONS, FileImages
from balanced_mixup.data.manifest import SPLIT_NAMES, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.label_names import encode
from balanced_mixup.errors import DataError, Problem

_LAYOUTS = "DIR/<class>/image.jpg, or DIR/train/<class>/image.jpg, DIR/val/<class>/... and DIR/test/<class>/..."


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the folder `settings.data`, images in the order of their paths.

    Raises:
        DataError: A folder cannot be read, there are no images in class folders, or splits and classes are mixed up.
    """
    root = Path(settings.data)
    parts = _parts(root)
    files: list[Path] = []
    raw: list[str] = []
    split: list[str] = []
    problems = [] if parts[0][0] == "" else _strays(root, [path for path in _visible(root) if not path.is_dir()])
    for part, parent in parts:
        for entry in _visible(parent):
            images, others = find_images(entry) if entry.is_dir() else ([], [entry])
            problems += _strays(root, others)
            if entry.is_dir() and not images:
                message = f"{entry.relative_to(root)}: expected images of a class, got none"
                problems.append(Problem("empty class folder", message, "Add images, or remove the folder.", fatal=False))
            files += images
            raw += [entry.name] * len(images)
            split += [part] * len(images)
    if not files:
        raise DataError([Problem("no class folders", f"{root}: no images in class folders", f"Expected {_LAYOUTS}.")])
    names = [file.relative_to(root).as_posix() for file in files]
    labels, classes, label_problems = encode(raw, names, settings.classes, settings.label_map, settings.ordinal)
    return Manifest(
        images=FileImages(root, names),
        labels=labels,
        classes=classes,
        ordinal=settings.ordinal,
        split=np.array(split, dtype=np.str_) if parts[0][0] else None,
        problems=(*problems, *label_problems),
    )


def find_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images under `folder` and its other files, by extension, both sorted; hidden ones are passed over.

    Raises:
        DataError: A folder cannot be read.
    """
    images: list[Path] = []
    others: list[Path] = []
    seen: set[str] = set()  # links can lead back
    for parent, folders, names in os.walk(folder, onerror=_unreadable, followlinks=True):
        if (place := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(parent, name)
                (images if path.suffix.lower() in EXTENSIONS else others).append(path)
    return sorted(images), sorted(others)


def _unreadable(error: OSError) -> None:
    problem = Problem("unreadable folder", str(error), "Check the folder's permissions and the disk.")
    raise DataError([problem]) from error


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        _unreadable(error)
        raise


def _parts(root: Path) -> list[tuple[str, Path]]:
    """Return (part of the split, folder of its class folders) for each part; the part is "" where no split is given."""
    folders = [path for path in _visible(root) if path.is_dir()]
    parts = [path for path in folders if path.name.lower() in SPLIT_NAMES and any(map(Path.is_dir, _visible(path)))]
    if not parts:
        return [("", root)]
    mixed = [path.name for path in folders if path not in parts]
    if mixed:
        message = f"{root}: expected splits alone or classes alone, got {parts[0].name!r} beside {mixed[0]!r}"
        raise DataError([Problem("splits beside classes", message, f"Expected {_LAYOUTS}.")])
    return [(SPLIT_NAMES[path.name.lower()], path) for path in parts]


def _strays(root: Path, paths: Sequence[Path]) -> list[Problem]:
    """Say which files are left out: images without a class, and files that are no images by their extension."""
    problems = []
    for path in paths:
        kind = "image without a class folder" if path.suffix.lower() in EXTENSIONS else "no image by its extension"
        message = f"{path.relative_to(root)} is left out"
        problems.append(Problem(kind, message, f"Expected {_LAYOUTS}.", fatal=False))
    return problems
