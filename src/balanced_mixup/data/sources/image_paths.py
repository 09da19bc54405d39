"""From the cells of an image column to files under the image root."""

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from balanced_mixup.data.images import EXTENSIONS
from balanced_mixup.data.sources.label_names import MISSING
from balanced_mixup.errors import Problem

_ABSOLUTE = re.compile("/|[A-Za-z]:")


@dataclass(frozen=True)
class _Folder:
    """A folder under the image root: its path with a slash, and the names in it."""

    path: str
    names: frozenset[str]

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """The images in it by name without extension, for tables that leave it out."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.names):
            stem, suffix = posixpath.splitext(name)
            if suffix.lower() in EXTENSIONS:
                found.setdefault(stem, []).append(name)
        return found


def image_names(cells: Sequence[str], root: Path) -> list[str]:
    """Return the name of each image: its cell, or for an absolute path inside `root` the path from there."""
    roots = [folder.as_posix().rstrip("/") + "/" for folder in (root.absolute(), root.resolve())]
    return [_from_root(cell, roots) if _ABSOLUTE.match(cell) else cell for cell in cells]


def _from_root(cell: str, roots: Sequence[str]) -> str:
    path = posixpath.normpath(cell.replace("\\", "/"))
    return next((path.removeprefix(root) for root in roots if path.startswith(root)), cell)


def locate(names: Sequence[str], where: Sequence[str], root: Path) -> list[str | Problem]:
    """Return the path of each image from `root`, or the problem that takes its place."""
    folders: dict[str, _Folder | None] = {}
    files: list[str | Problem] = []
    outside: list[int] = []
    for row, written in enumerate(names):
        parent, _, name = written.rpartition("/")
        if name in ("", ".", "..") or "\\" in written:
            parent, _, name = posixpath.normpath(written.replace("\\", "/")).rpartition("/")
        if parent not in folders:
            folders[parent] = _folder(root, parent)
        folder = folders[parent]
        if written.lower() in MISSING:
            message = f"{where[row]}: expected the path of an image, got {written!r}"
            files.append(Problem("no image path", message, "Fill in the path, or remove the row.", (row,)))
        elif folder is None or name == ".." or _ABSOLUTE.match(written) or written.startswith("\\"):
            outside.append(row)
            files.append("")
        else:
            # The extension may be missing. Opening a file that does not exist will report it.
            found = [name] if name in folder.names else folder.by_stem.get(name, [name])
            if len(found) > 1:
                paths = " or ".join(folder.path + file for file in found)
                message = f"{where[row]}: expected one image, but {written!r} may be {paths}"
                files.append(Problem("ambiguous image path", message, "Write the path with its extension.", (row,)))
            else:
                path = folder.path + found[0]
                files.append(written if path == written else path)  # of a million rows one text each, not two
    remedy = _outside_remedy([names[row] for row in outside])
    for row in outside:
        message = f"{where[row]}: expected a path inside the image root, got {names[row]!r}"
        files[row] = Problem("path outside the image root", message, remedy, (row,))
    return files


def _outside_remedy(paths: Sequence[str]) -> str:
    """Return the remedy for paths outside the root; it names the folder that contains all of them, if there is one."""
    if paths and all(path.startswith("/") for path in paths):
        common = Path(posixpath.commonpath([posixpath.dirname(posixpath.normpath(path)) for path in paths]))
        if common.name and common.is_dir():
            return f"A path must not leave the image root: name the folder that has these images with --images {common}"
    return "A path must not leave the image root: write it relative to the folder of the images (--images)."


def _folder(root: Path, parent: str) -> _Folder | None:
    """Return a folder, without names if it does not exist; None if it is not under the root."""
    path = "" if parent in ("", ".") else posixpath.normpath(parent)
    if path == ".." or path.startswith(("../", "/")):
        return None
    try:
        names = frozenset(os.listdir(root / path))  # noqa: PTH208 - as names, of which there may be a million
    except (OSError, ValueError):
        names = frozenset()
    return _Folder("" if path in ("", ".") else f"{path}/", names)
