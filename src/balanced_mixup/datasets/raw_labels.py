"""The published label files of a data set as one list of images, with everything in them that cannot be used."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from balanced_mixup.data.sources.label_names import canonical
from balanced_mixup.data.sources.table import Table, read_table
from balanced_mixup.datasets.card import Card, FoldFile, LabelFile, key
from balanced_mixup.datasets.raw import Raw
from balanced_mixup.errors import DataError, Problem


class Finding(NamedTuple):
    """Something that is not as published: its kind, the image that it concerns ("" if none) and what it is in a line."""

    kind: str
    image: str
    message: str


@dataclass(frozen=True)
class Row:
    """One labelled image; `image` is named as in the label file, `split` and `group` are "" where there is none."""

    image: str
    label: str
    split: str
    group: str
    more: dict[str, str]
    where: str

    @property
    def part(self) -> str:
        """Part that the image is counted to."""
        return self.split or "all"


@dataclass
class Labels:
    """What the label files say.

    Args:
        rows: By `card.key` of the image, in the order of the files; those that can be used.
        named: The key of each image that they name.
        counts: Labelled images of each part and class as the files have them.
        findings: What cannot be used, and what differs from the published counts.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    findings: list[Finding] = field(default_factory=list)


def read_labels(card: Card, raw: Raw) -> Labels:
    """Read all label files of a data set that are there; those that are not are a finding.

    Raises:
        DataError: None is there, or one of them is no such table.
    """
    labels = Labels()
    conflicts = set()
    found = {names: raw.file(names) for names in dict.fromkeys(spec.names for spec in card.label_files)}
    if not any(found.values()):
        message = f"{raw.root}: expected {' or '.join(names[0] for names in found)}, got no such file"
        remedy = f"Unpack what {card.url} offers. Expected in the folder: {card.layout}."
        raise DataError([Problem("no label file", message, remedy)])
    for names, path in found.items():
        if path is None:
            labels.findings.append(Finding("missing label file", "", f"{names[0]} is not there: its images are left out"))
            continue
        table = read_table(path)
        spec = _edition([spec for spec in card.label_files if spec.names == names], table)
        labels.findings += [Finding("malformed row", "", problem.message) for problem in table.problems]
        for row in _rows(card, spec, table, labels):
            labels.counts[row.part][row.label] += 1
            first = labels.rows.setdefault(key(row.image), row)
            if first is not row:
                labels.findings.append(_repeated(first, row))
            if first.label != row.label:
                conflicts.add(key(row.image))
    for name in conflicts:
        del labels.rows[name]
    labels.findings += _unlike_published(card, labels.counts)
    for fold_file in card.fold_files:
        if (path := raw.file(fold_file.names)) is not None:
            labels.findings += _add_folds(card, fold_file, read_table(path), labels.rows)
    return labels


def _edition(specs: list[LabelFile], table: Table) -> LabelFile:
    """Return the edition of a label file that has the columns of this one."""
    _check_columns(table, [spec.columns for spec in specs])
    return next(spec for spec in specs if set(spec.columns) <= set(table.header))


def _check_columns(table: Table, editions: Sequence[tuple[str, ...]]) -> None:
    if not any(set(columns) <= set(table.header) for columns in editions):
        expected = " or ".join(", ".join(columns) for columns in editions)
        message = f"{table.name}: expected the columns {expected}; got {', '.join(table.header)}"
        raise DataError([Problem("unknown label file", message, "Take the file as it was published.")])


def _rows(card: Card, spec: LabelFile, table: Table, labels: Labels) -> Iterator[Row]:
    """Yield the rows with a class; the others become findings."""
    for cells, where in _cells(table):
        image, label = cells[spec.image], canonical(spec.label(cells))
        labels.named.add(key(image))
        if label in card.classes:
            more = {name: cells[name] for name in spec.keep} | dict(spec.constants)
            group = "" if spec.group is None else spec.group(cells)
            yield Row(image, label, spec.split, group, more, where)
        elif label == "":
            labels.findings.append(Finding("without a class", image, f"{where}: {_said(cells)}"))
        else:
            message = f"{where}: expected one of {', '.join(card.classes)}; got {label!r}"
            labels.findings.append(Finding("unknown class", image, message))


def _cells(table: Table) -> Iterator[tuple[dict[str, str], str]]:
    for row, where in zip(table.rows, table.where, strict=True):
        yield dict(zip(table.header, row, strict=True)), where


def _said(cells: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {cell!r}" for name, cell in cells.items())


def _repeated(first: Row, row: Row) -> Finding:
    if first.label == row.label:
        return Finding("repeated row", row.image, f"{row.where}: again, as in {first.where}; the first counts")
    message = f"{row.where}: {row.label}, but {first.where} says {first.label}; the image is left out"
    return Finding("contradictory labels", row.image, message)


def _unlike_published(card: Card, counts: Mapping[str, Counter[str]]) -> list[Finding]:
    """Compare parts that are there with the published counts."""
    return [
        Finding("label count", "", f"{part}, class {name}: expected {published} labels, got {counts[part][name]}")
        for part, of_class in card.counts.items()
        for name, published in of_class.items()
        if part in counts and counts[part][name] != published
    ]


def _add_folds(card: Card, spec: FoldFile, table: Table, rows: Mapping[str, Row]) -> list[Finding]:
    """Note the published fold of each image as a further column, "" where the file does not have it."""
    _check_columns(table, [(spec.image, spec.label, spec.fold)])
    findings = []
    folds: dict[str, str] = {}
    for cells, where in _cells(table):
        image = cells[spec.image]
        row = rows.get(key(image))
        if row is None:
            findings.append(Finding("fold without label", image, f"{where}: the image is in no label file"))
        elif card.class_of(cells[spec.label]) != row.label:
            message = f"{where}: {cells[spec.label]!r}, but {row.where} says {row.label!r}, which counts"
            findings.append(Finding("other class in the fold file", image, message))
        folds[key(image)] = cells[spec.fold]
    for name, row in rows.items():
        row.more[spec.becomes] = folds.get(name, "")
        if name not in folds:
            findings.append(Finding("label without fold", row.image, f"{table.name} does not name the image"))
    return findings
