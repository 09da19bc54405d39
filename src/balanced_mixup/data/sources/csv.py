"""A table of images: one row an image, with named columns for its file, its class and, if any, its group and its split."""

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.images import EXTENSIONS, FileImages
from balanced_mixup.data.manifest import SPLIT_NAMES, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.label_names import MISSING, encode
from balanced_mixup.data.sources.table import Table, read_table
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
    where = table.where
    files = _locate(columns["image"], where, root)
    labels, classes, label_problems = encode(columns["label"], where, settings.classes, settings.label_map, settings.ordinal)
    groups, group_problems = _groups(columns.get("group"), where)
    split, split_problems = _split(columns.get("split"), where)
    path_problems = [file for file in files if isinstance(file, Problem)]
    repeated = _repeated(files, {role: cells for role, cells in columns.items() if role != "image"}, where)
    return Manifest(
        images=FileImages(root, columns["image"], files),
        labels=labels,
        classes=classes,
        ordinal=settings.ordinal,
        groups=groups,
        split=split,
        problems=(*table.problems, *path_problems, *label_problems, *group_problems, *split_problems, *repeated),
    )


def _columns(table: Table, settings: DataSettings) -> dict[str, list[str]]:
    """Return the cells of the image, label, group and split column, as far as they are asked for."""
    asked = {role: getattr(settings, f"{role}_column") for role in ("image", "label", "group", "split")}
    columns = {role: name for role, name in asked.items() if name is not None}
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
    """Return the path of each image from `root`, or the problem that stands in its place."""
    index = _FolderIndex(root)
    files: list[str | Problem] = []
    for row, cell in enumerate(cells):
        path = _normal(cell)
        if cell.lower() in MISSING:
            message = f"{where[row]}: expected the path of an image, got {cell!r}"
            files.append(Problem("no image path", message, "Fill in the path, or remove the row.", (row,)))
        elif path is None:
            message = f"{where[row]}: expected a path inside the image root, got {cell!r}"
            remedy = "A path must not leave the image root: write it relative to the folder of the images (--images)."
            files.append(Problem("path outside the image root", message, remedy, (row,)))
        elif len(found := index.candidates(path)) > 1:
            message = f"{where[row]}: expected one image, but {cell!r} may be {' or '.join(found)}"
            files.append(Problem("ambiguous image path", message, "Write the path with its extension.", (row,)))
        else:
            files.append(found[0] if found else path)
    return files


def _normal(cell: str) -> str | None:
    """Return a path in its shortest form with forward slashes, or None where it is absolute or leaves its root."""
    path = posixpath.normpath(cell.replace("\\", "/"))
    leaves = path == ".." or path.startswith(("/", "../")) or re.match("[A-Za-z]:", path)
    return None if leaves else path


class _FolderIndex:
    """Finds files whose extension was left out, listing each folder once instead of trying extensions row by row."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, tuple[set[str], dict[str, list[str]]]] = {}

    def candidates(self, path: str) -> list[str]:
        """Return `path` if there is such a file, otherwise the images that it names up to their extension."""
        folder, name = posixpath.split(path)
        if folder not in self._folders:
            self._folders[folder] = self._list(self._root / folder)
        names, stems = self._folders[folder]
        return [path] if name in names else [posixpath.join(folder, file) for file in stems.get(name, [])]

    @staticmethod
    def _list(folder: Path) -> tuple[set[str], dict[str, list[str]]]:
        """Return the names in a folder, and the images among them by their name without extension."""
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except (OSError, ValueError):  # what is not there has no files; opening the image will say so
            names = []
        stems: dict[str, list[str]] = {}
        for file in map(PurePosixPath, names):
            if file.suffix.lower() in EXTENSIONS:
                stems.setdefault(file.stem, []).append(file.name)
        return set(names), stems


def _groups(cells: list[str] | None, where: Sequence[str]) -> tuple[npt.NDArray[np.str_] | None, list[Problem]]:
    if cells is None:
        return None, []
    remedy = "Fill in the group, or remove the row."
    problems = [
        Problem("no group", f"{where[row]}: expected the name of a group, got {cell!r}", remedy, (row,))
        for row, cell in enumerate(cells)
        if cell.lower() in MISSING
    ]
    return np.array(cells, dtype=np.str_), problems


def _split(cells: list[str] | None, where: Sequence[str]) -> tuple[npt.NDArray[np.str_] | None, list[Problem]]:
    """Return the part of each row; "" where it could not be understood."""
    if cells is None:
        return None, []
    parts = [SPLIT_NAMES.get(cell.lower(), "") for cell in cells]
    remedy = f"Write train, val or test; understood are also {', '.join(SPLIT_NAMES.keys() - set(SPLIT_NAMES.values()))}."
    problems = [
        Problem("unknown split", f"{where[row]}: expected train, val or test, got {cells[row]!r}", remedy, (row,))
        for row, part in enumerate(parts)
        if not part
    ]
    return np.array(parts, dtype=np.str_), problems


def _repeated(files: Sequence[str | Problem], columns: Mapping[str, Sequence[str]], where: Sequence[str]) -> list[Problem]:
    """Name the rows with the same image. Where they agree the later one is at fault; otherwise nobody knows which is right."""
    problems = []
    first: dict[str, int] = {}
    for row, file in enumerate(files):
        if isinstance(file, Problem) or (earlier := first.setdefault(file, row)) == row:
            continue
        other = [f"{role} {cells[row]!r}" for role, cells in columns.items() if cells[row] != cells[earlier]]
        before = [f"{role} {cells[earlier]!r}" for role, cells in columns.items() if cells[row] != cells[earlier]]
        message = f"{where[row]}: {file} again"
        if other:
            message += f" with {', '.join(other)}; {where[earlier]} has it with {', '.join(before)}"
        else:
            message += f", as in {where[earlier]}"
        problems.append(Problem("repeated image", message, "Keep one row an image.", (earlier, row) if other else (row,)))
    return problems
