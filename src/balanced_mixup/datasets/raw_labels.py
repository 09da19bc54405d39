"""The published label files of a data set as one list of images, and everything in them that is unusable."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from balanced_mixup.data.sources.label_names import canonical
from balanced_mixup.data.sources.text_table import TextTable, read_table
from balanced_mixup.datasets.card import Card, LabelFile, PublishedFolds, cell, key
from balanced_mixup.datasets.raw import Discrepancy, LabelledImage, RawFolder
from balanced_mixup.errors import DataError, Problem

Counts = dict[str, Counter[str]]  # of split and class; the split is "all" where none is published


@dataclass
class RawLabels:
    """The content of the label files."""

    rows: dict[str, LabelledImage] = field(default_factory=dict)  # the usable images by `card.key`, in the order of the files
    known: set[str] = field(default_factory=set)  # the key of each image in the files
    counts: Counts = field(default_factory=dict)  # labelled images in the files
    discrepancies: list[Discrepancy] = field(default_factory=list)  # what is unusable, or not as many as published


def count(rows: Iterable[LabelledImage]) -> Counts:
    """Count images by split and class."""
    counts: Counts = defaultdict(Counter)
    for row in rows:
        counts[row.split or "all"][row.label] += 1
    return counts


def read_labels(card: Card, raw: RawFolder) -> RawLabels:
    """Read all label files of a data set that exist; a missing one is a discrepancy.

    Raises:
        DataError: None exists, or one of them is another table.
    """
    files = {names: raw.file(names) for names in dict.fromkeys(spec.names for spec in card.label_files)}
    if not any(files.values()):
        message = f"{raw.root}: expected {' or '.join(names[0] for names in files)}, got no such file"
        remedy = f"Unpack the files from {card.url}. Expected in the folder: {card.layout}."
        raise DataError([Problem("no label file", message, remedy)])
    labels = RawLabels()
    rows: list[LabelledImage] = []
    contradictory = set()
    for names, path in files.items():
        if path is None:
            message = f"{names[0]} does not exist: its images are excluded"
            labels.discrepancies.append(Discrepancy("missing label file", "", message))
            continue
        table = read_table(path)
        spec = _edition([spec for spec in card.label_files if spec.names == names], table)
        labels.discrepancies += [Discrepancy("malformed row", "", problem.message) for problem in table.problems]
        for name, row in _rows(card, spec, table, labels):
            rows.append(row)
            first = labels.rows.setdefault(name, row)
            if first is not row:
                labels.discrepancies.append(_repeated(first, row))
            if first.label != row.label:
                contradictory.add(name)
    labels.counts = count(rows)
    for name in contradictory:
        del labels.rows[name]
    labels.discrepancies += [
        Discrepancy("label count", "", f"{split}, class {name}: expected {published} labels, got {labels.counts[split][name]}")
        for split, by_class in card.counts.items()
        for name, published in by_class.items()
        if split in labels.counts and labels.counts[split][name] != published
    ]
    for folds in card.folds:
        if (path := raw.file(folds.names)) is not None:
            labels.discrepancies += _add_folds(card, folds, read_table(path), labels.rows)
    return labels


def _edition(specs: list[LabelFile], table: TextTable) -> LabelFile:
    """Return the edition of a label file that has the columns of this one."""
    _check_columns(table, [spec.columns for spec in specs])
    return next(spec for spec in specs if set(spec.columns) <= set(table.header))


def _check_columns(table: TextTable, editions: list[tuple[str, ...]]) -> None:
    if not any(set(columns) <= set(table.header) for columns in editions):
        expected = " or ".join(", ".join(columns) for columns in editions)
        message = f"{table.name}: expected the columns {expected}; got {', '.join(table.header)}"
        raise DataError([Problem("unknown label file", message, "Use the file as it was published.")])


def _rows(card: Card, spec: LabelFile, table: TextTable, labels: RawLabels) -> Iterator[tuple[str, LabelledImage]]:
    """Yield key and content of the rows with a class; the others become discrepancies."""
    for cells, where in table.records():
        image, label = cells[spec.image], canonical(cell(spec.label, cells))
        name = key(image)
        labels.known.add(name)
        if label in card.classes:
            more = {column: cells[column] for column in spec.keep} | dict(spec.constants)
            group = "" if spec.group is None else cell(spec.group, cells)
            yield name, LabelledImage(image, label, spec.split, group, more, where)
        elif label == "":
            content = ", ".join(f"{column} {value!r}" for column, value in cells.items())
            labels.discrepancies.append(Discrepancy("without a class", image, f"{where}: {content}"))
        else:
            message = f"{where}: expected one of {', '.join(card.classes)}; got {label!r}"
            labels.discrepancies.append(Discrepancy("unknown class", image, message))


def _repeated(first: LabelledImage, row: LabelledImage) -> Discrepancy:
    if first.label == row.label:
        return Discrepancy("repeated row", row.image, f"{row.where}: again, as in {first.where}; the first is used")
    message = f"{row.where}: {row.label}, but {first.where} has {first.label}; the image is excluded"
    return Discrepancy("contradictory labels", row.image, message)


def _add_folds(card: Card, spec: PublishedFolds, table: TextTable, rows: Mapping[str, LabelledImage]) -> Iterator[Discrepancy]:
    """Add the published fold of each image as a further column, "" if the file does not have it."""
    _check_columns(table, [(spec.image, spec.label, spec.fold)])
    folds: dict[str, str] = {}
    for cells, where in table.records():
        image, label = cells[spec.image], cells[spec.label]
        row = rows.get(key(image))
        if row is None:
            yield Discrepancy("fold without label", image, f"{where}: the image is in no label file")
        elif card.class_of(label) != row.label:
            message = f"{where}: {label!r}, but {row.where} has {row.label!r}, which is used"
            yield Discrepancy("other class in the fold file", image, message)
        folds[key(image)] = cells[spec.fold]
    for name, row in rows.items():
        row.more[spec.column] = folds.get(name, "")
        if name not in folds:
            yield Discrepancy("label without fold", row.image, f"the image is not in {table.name}")
