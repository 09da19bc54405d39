"""A table of images: one row per image, with named columns for its file, its class and, if any, its group and its split."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from balanced_mixup.data.images import EXTENSIONS, FileImages
from balanced_mixup.data.manifest import SPLIT_NAMES, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.label_names import MISSING, encode
from balanced_mixup.data.sources.text_table import TextTable, read_table
from balanced_mixup.errors import DataError, Problem, nearest


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the table `settings.data`.

    Raises:
        DataError: The table cannot be read, lacks a column or has no rows, or the folder of the images does not exist.
    """
    path = Path(settings.data)
    table = read_table(path)
    columns = _columns(table, settings)
    root = path.parent if settings.images is None else settings.images
    if not root.is_dir():
        message = f"expected --images to be a folder, but {str(root)!r} {'is a file' if root.exists() else 'does not exist'}"
        raise DataError([Problem("no image folder", message, "Name the folder of the images; unpack an archive first.")])
    where, names = table.where, columns.pop("image")
    files = _locate(names, where, root)
    labels, classes, problems = encode(columns["label"], where, settings.classes, settings.label_map, settings.ordinal)
    groups, split = columns.get("group"), columns.get("split")
    return Manifest(
        images=FileImages(root, names, files),
        labels=labels,
        classes=classes,
        ordinal=settings.ordinal,
        groups=None if groups is None else np.array(groups, np.str_),
        split=None if split is None else np.array([SPLIT_NAMES.get(cell.lower(), "") for cell in split], np.str_),
        problems=(
            *table.problems,
            *(file for file in files if isinstance(file, Problem)),
            *problems,
            *_missing_groups(groups or (), where),
            *_unknown_splits(split or (), where),
            *_repeated(files, columns, where),
        ),
    )


def _columns(table: TextTable, settings: DataSettings) -> dict[str, list[str]]:
    """Return the cells of the image, label, group and split columns that `settings` name."""
    columns = {role: getattr(settings, f"{role}_column") for role in ("image", "label", "group", "split")}
    columns = {role: name for role, name in columns.items() if name is not None}
    problems = []
    for role, name in columns.items():
        if table.header.count(name) != 1:
            fault = "more than one" if name in table.header else "no"
            present = ", ".join(map(repr, table.header))
            message = f"{table.name} has {fault} column {name!r}; its columns are {present}.{nearest(name, table.header)}"
            problems.append(Problem(f"{role} column", message, f"Name the column with --{role}-column."))
    if problems:
        raise DataError(problems)
    return {role: table.column(name) for role, name in columns.items()}


def _locate(cells: Sequence[str], where: Sequence[str], root: Path) -> list[str | Problem]:
    """Return the path of each image from `root`, or the problem that takes its place."""

    @cache
    def files_in(folder: str) -> tuple[frozenset[str], Mapping[str, list[str]]]:
        return _list(root / folder)

    files: list[str | Problem] = []
    for row, cell in enumerate(cells):
        path = posixpath.normpath(cell.replace("\\", "/"))
        folder, name = posixpath.split(path)
        if cell.lower() in MISSING:
            message = f"{where[row]}: expected the path of an image, got {cell!r}"
            files.append(Problem("no image path", message, "Fill in the path, or remove the row.", (row,)))
        elif path == ".." or path.startswith(("/", "../")) or re.match("[A-Za-z]:", path):
            message = f"{where[row]}: expected a path inside the image root, got {cell!r}"
            remedy = "A path must not leave the image root: write it relative to the folder of the images (--images)."
            files.append(Problem("path outside the image root", message, remedy, (row,)))
        else:
            names, by_stem = files_in(folder)
            # The extension may be missing. Opening a file that does not exist will report it.
            found = [path] if name in names else [posixpath.join(folder, file) for file in by_stem.get(name, [name])]
            if len(found) > 1:
                message = f"{where[row]}: expected one image, but {cell!r} may be {' or '.join(found)}"
                files.append(Problem("ambiguous image path", message, "Write the path with its extension.", (row,)))
            else:
                files.append(found[0])
    return files


def _list(folder: Path) -> tuple[frozenset[str], Mapping[str, list[str]]]:
    """Return the names in a folder, none if it does not exist, and the images among them by name without extension."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except (OSError, ValueError):
        names = []
    by_stem: dict[str, list[str]] = {}
    for file in map(PurePosixPath, names):
        if file.suffix.lower() in EXTENSIONS:
            by_stem.setdefault(file.stem, []).append(file.name)
    return frozenset(names), by_stem


def _missing_groups(cells: Sequence[str], where: Sequence[str]) -> Iterator[Problem]:
    for row, cell in enumerate(cells):
        if cell.lower() in MISSING:
            message = f"{where[row]}: expected a group, got {cell!r}"
            yield Problem("no group", message, "Fill in the group, or remove the row.", (row,))


def _unknown_splits(cells: Sequence[str], where: Sequence[str]) -> Iterator[Problem]:
    remedy = f"Write train, val or test; accepted are also {', '.join(SPLIT_NAMES.keys() - set(SPLIT_NAMES.values()))}."
    for row, cell in enumerate(cells):
        if cell.lower() not in SPLIT_NAMES:
            yield Problem("unknown split", f"{where[row]}: expected train, val or test, got {cell!r}", remedy, (row,))


def _repeated(files: Sequence[str | Problem], columns: Mapping[str, Sequence[str]], where: Sequence[str]) -> list[Problem]:
    """Report rows with the same image. If they agree only the later one is wrong; otherwise either may be."""
    problems = []
    first: dict[str, int] = {}
    for row, file in enumerate(files):
        if isinstance(file, Problem) or (earlier := first.setdefault(file, row)) == row:
            continue
        differing = [(role, cells) for role, cells in columns.items() if cells[row] != cells[earlier]]
        here, before = (", ".join(f"{role} {cells[at]!r}" for role, cells in differing) for at in (row, earlier))
        details = f" with {here}; {where[earlier]} has it with {before}" if differing else f", as in {where[earlier]}"
        message = f"{where[row]}: {file} again{details}"
        rows = (earlier, row) if differing else (row,)
        problems.append(Problem("repeated image", message, "Keep one row per image.", rows))
    return problems
