"""A table of images: one row per image, with named columns for its file, its class and, if any, its group and its split."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.images import FileImages
from balanced_mixup.data.manifest import SPLIT_NAMES, Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources.distinct import distinct, repeats
from balanced_mixup.data.sources.group_hints import suggest_columns
from balanced_mixup.data.sources.image_paths import image_names, locate
from balanced_mixup.data.sources.label_names import MISSING, encode
from balanced_mixup.data.sources.one_hot import one_hot_labels, suggested_columns
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
    root = image_root(settings)
    if not root.is_dir():
        message = f"expected --images to be a folder, but {str(root)!r} {'is a file' if root.exists() else 'does not exist'}"
        raise DataError([Problem("no image folder", message, "Name the folder of the images; unpack an archive first.")])
    where = table.where
    names = image_names(columns.pop("image"), root)
    files = locate(names, where, root)
    labels, classes, problems = _labels(table, columns, settings)
    groups, split = columns.get("group"), columns.get("split")
    manifest = Manifest(
        images=FileImages(root, names, files),
        labels=labels,
        classes=classes,
        ordinal=settings.ordinal,
        groups=None if groups is None else np.array(groups, np.str_),
        split=None if split is None else _splits(split),
        problems=(
            *table.problems,
            *(file for file in files if isinstance(file, Problem)),
            *problems,
            *_missing_groups(groups or (), where),
            *_unknown_splits(split or (), where),
            *_repeated(files, columns, where),
        ),
    )
    return suggest_columns(manifest, table, settings)


def image_root(settings: DataSettings) -> Path:
    """Return the folder that the paths of the table `settings.data` start from."""
    return Path(settings.data).parent if settings.images is None else settings.images


def _columns(table: TextTable, settings: DataSettings) -> dict[str, list[str]]:
    """Return the cells of the image, label, group and split columns that `settings` name."""
    wanted = {role: getattr(settings, f"{role}_column") for role in ("image", "label", "group", "split")}
    wanted = {role: name for role, name in wanted.items() if name is not None}
    if settings.label_columns:
        del wanted["label"]
    named = [(role, name, f"--{role}-column") for role, name in wanted.items()]
    named += [("label", name, "--label-columns") for name in settings.label_columns]
    problems = []
    for role, name, flag in named:
        if table.header.count(name) != 1:
            fault = "more than one" if name in table.header else "no"
            present = ", ".join(map(repr, table.header))
            message = f"{table.name} has {fault} column {name!r}; its columns are {present}.{nearest(name, table.header)}"
            remedy = f"Name the column with {flag}."
            if role == "label" and not settings.label_columns and (one_hot := suggested_columns(table)):
                remedy = f"The table has a column for each class: add --label-columns {','.join(one_hot)}"
            problems.append(Problem(f"{role} column", message, remedy))
    if problems:
        raise DataError(problems)
    return {role: table.column(name) for role, name in wanted.items()}


def _labels(
    table: TextTable, columns: dict[str, list[str]], settings: DataSettings
) -> tuple[npt.NDArray[np.int64], tuple[str, ...], list[Problem]]:
    """Return the label of each row, the classes, and the problems; labels of a one-hot table are added to `columns`."""
    classes, several = settings.classes, None
    found: list[Problem] = []
    if settings.label_columns:
        zero = None if settings.one_vs_rest is None else "none"
        columns["label"], several, found = one_hot_labels(table, settings.label_columns, zero)
        if classes is None and settings.one_vs_rest is None:
            classes = tuple(dict.fromkeys(settings.label_map.get(name, name) for name in settings.label_columns))
    labels, classes, problems = encode(
        columns["label"],
        table.where,
        classes,
        settings.label_map,
        settings.ordinal,
        multi_label=settings.multi_label,
        one_vs_rest=settings.one_vs_rest,
        several=several,
    )
    told = {row for problem in found for row in problem.rows}
    return labels, classes, [*found, *(problem for problem in problems if told.isdisjoint(problem.rows))]


def _splits(cells: Sequence[str]) -> npt.NDArray[np.str_]:
    codes, spellings = distinct(cells)
    return np.array([SPLIT_NAMES.get(cell.lower(), "") for cell in spellings], np.str_)[codes]


def _missing_groups(cells: Sequence[str], where: Sequence[str]) -> Iterator[Problem]:
    for row, cell in enumerate(cells):
        if cell.lower() in MISSING:
            message = f"{where[row]}: expected a group, got {cell!r}"
            remedy = "Fill in the group, or remove the row; training with --exclude-bad leaves such rows out."
            yield Problem("no group", message, remedy, (row,))


def _unknown_splits(cells: Sequence[str], where: Sequence[str]) -> Iterator[Problem]:
    remedy = f"Write train, val or test; accepted are also {', '.join(SPLIT_NAMES.keys() - set(SPLIT_NAMES.values()))}."
    for row, cell in enumerate(cells):
        if cell.lower() not in SPLIT_NAMES:
            yield Problem("unknown split", f"{where[row]}: expected train, val or test, got {cell!r}", remedy, (row,))


def _repeated(files: Sequence[str | Problem], columns: Mapping[str, Sequence[str]], where: Sequence[str]) -> list[Problem]:
    """Report images with several rows. If these agree only the later ones are wrong; otherwise any may be."""
    rows_of = repeats(["" if isinstance(file, Problem) else file for file in files])
    return [_rows_of_one_image(path, rows, columns, where) for path, rows in rows_of.items() if path]


def _rows_of_one_image(path: str, rows: list[int], columns: Mapping[str, Sequence[str]], where: Sequence[str]) -> Problem:
    first, *later = rows
    unlike = [row for row in later if any(cells[row] != cells[first] for cells in columns.values())]
    row = (unlike or later)[0]
    differing = [(role, cells) for role, cells in columns.items() if cells[row] != cells[first]]
    here, before = (", ".join(f"{role} {cells[at]!r}" for role, cells in differing) for at in (row, first))
    details = f" with {here}; {where[first]} has it with {before}" if differing else f", as in {where[first]}"
    more = f", and in {len(later) - 1:,} more row{'s' * (len(later) > 2)}" if len(later) > 1 else ""
    message = f"{where[row]}: {path} again{details}{more}"
    return Problem("repeated image", message, "Keep one row per image.", tuple(rows if unlike else later))
