"""Which raw file belongs to which labelled image, and what is missing, left over, double, or in the wrong folder."""

from collections.abc import Callable
from pathlib import Path

from balanced_mixup.datasets.card import Card
from balanced_mixup.datasets.raw import Raw, same
from balanced_mixup.datasets.raw_labels import Finding, Labels, Row


def match(card: Card, labels: Labels, raw: Raw, prepared: Callable[[str], bool]) -> tuple[dict[str, Path], list[Finding]]:
    """Return the path from the raw folder of each labelled image that is there, by `card.key`, and what is not as it should be.

    Names are compared without extension and case. Where several files fit, one with the very name of the label file goes first;
    several files that differ are not used, as nobody knows which is right. An image that is `prepared` already (asked by its
    key) is not missed, so that a large data set can be prepared archive by archive.
    """
    found: dict[str, Path] = {}
    findings = []
    for name, row in labels.rows.items():
        paths = raw.images.get(name, [])
        exact = [path for path in paths if path.name.lower() == row.image.lower()] or paths
        if not exact and prepared(name):
            continue
        if not exact:
            findings.append(Finding("missing image", row.image, f"{row.where}: no such file"))
        elif len(exact) > 1 and not same([raw.root / path for path in exact]):
            findings.append(Finding("ambiguous image", row.image, f"{row.where}: {_list(exact)} differ; none is used"))
        else:
            found[name] = exact[0]
            others = [path for path in paths if path != exact[0]]
            findings += [Finding("copy", row.image, f"{path} is not used beside {exact[0]}") for path in others]
            findings += _wrong_folder(card, row, exact[0])
    for name, paths in raw.images.items():
        if name not in labels.named:
            findings += [Finding("image without label", path.as_posix(), "no label file names it") for path in paths]
    return found, findings


def _wrong_folder(card: Card, row: Row, path: Path) -> list[Finding]:
    folder = card.class_of(path.parent.name) if card.class_folders else None
    if folder in (None, row.label):
        return []
    return [Finding("wrong class folder", row.image, f"{path}, but {row.where} says {row.label!r}, which counts")]


def _list(paths: list[Path]) -> str:
    return " and ".join(path.as_posix() for path in paths)
