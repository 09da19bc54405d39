"""The raw folder of a data set, downloaded and unpacked: its images and label files, and their matching."""

import filecmp
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from balanced_mixup.data.images import EXTENSIONS
from balanced_mixup.data.sources import PREPARED
from balanced_mixup.data.sources.class_folders import walk
from balanced_mixup.datasets.card import Card, key
from balanced_mixup.errors import DataError, Problem


class Discrepancy(NamedTuple):
    """A difference from what was published: its kind, the image that it concerns ("" if none) and a line of details."""

    kind: str
    image: str
    message: str


@dataclass(frozen=True)
class LabelledImage:
    """An image in a label file, named as there; `split` and `group` are "" if there is none."""

    image: str
    label: str
    split: str
    group: str
    more: dict[str, str]
    where: str


@dataclass
class RawFolder:
    """The content of the raw folder `root`; paths start from it, and the lists are sorted by depth and name."""

    root: Path
    images: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))  # by `card.key` of their names
    others: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))  # by their names in lower case
    skipped: Counter[str] = field(default_factory=Counter)  # files in each folder that does not belong to this data set

    def file(self, names: Iterable[str]) -> Path | None:
        """Return the file with one of these names, None if there is none. DataError if there are several that differ."""
        found = [self.root / path for name in names for path in self.others.get(name.lower(), ())]
        if len(found) > 1 and not _same(found):
            message = f"{self.root}: expected one {found[0].name}, got {' and '.join(map(str, found))}, which differ"
            raise DataError([Problem("several label files", message, "Remove all but the right one from the folder.")])
        return found[0] if found else None


def _same(paths: Sequence[Path]) -> bool:
    """Return whether all files have the same content."""
    return all(filecmp.cmp(paths[0], other, shallow=False) for other in paths[1:])


def scan(root: Path, card: Card) -> RawFolder:
    """Find images and label files under `root`, at any depth; hidden files and prepared folders are skipped.

    Raises:
        DataError: A folder cannot be read.
    """
    raw = RawFolder(root)
    for parent, folders, names in walk(root, skip=[PREPARED]):
        for folder in [name for name in folders if any(fnmatch(name.lower(), p.lower()) for p in card.skipped_folders)]:
            raw.skipped[folder] += sum(len(files) for *_, files in os.walk(parent / folder))
            folders.remove(folder)
        for name in names:
            path = (parent / name).relative_to(root)
            if path.suffix.lower() in EXTENSIONS and not name.startswith("."):
                raw.images[key(name)].append(path)
            else:
                raw.others[name.lower()].append(path)
    for paths in (*raw.images.values(), *raw.others.values()):
        paths.sort(key=lambda path: (len(path.parts), path))
    return raw


def match(
    card: Card,
    labelled: Mapping[str, LabelledImage],
    known: Collection[str],
    raw: RawFolder,
    prepared: Collection[str],
) -> tuple[dict[str, Path], list[Discrepancy]]:
    """Find the file of each labelled image.

    Names are compared without extension and case. Of several files, one with exactly the name in the label file takes
    precedence; several that differ are not used, as either may be right. An image that is already prepared is not reported
    missing, so that a large data set can be prepared archive by archive.

    Args:
        card: The data set.
        labelled, known: Its images with a class by `card.key`, and the keys of all images in its label files.
        raw: The folder with the images.
        prepared: The keys of the images that are prepared already.

    Returns:
        The path of each labelled image that was found from the raw folder, by key, and the discrepancies.
    """
    found: dict[str, Path] = {}
    wrong = []
    for name, row in labelled.items():
        paths = raw.images.get(name, [])
        exact = [path for path in paths if path.name.lower() == row.image.lower()] or paths
        if not exact and name in prepared:
            continue
        if not exact:
            wrong.append(Discrepancy("missing image", row.image, f"{row.where}: no such file"))
        elif len(exact) > 1 and not _same([raw.root / path for path in exact]):
            message = f"{row.where}: {' and '.join(path.as_posix() for path in exact)} differ; none is used"
            wrong.append(Discrepancy("ambiguous image", row.image, message))
        else:
            path = found[name] = exact[0]
            others = [other for other in paths if other != path]
            wrong += [Discrepancy("copy", row.image, f"{other} is not used beside {path}") for other in others]
            if card.class_folders and card.class_of(path.parent.name) not in (None, row.label):
                message = f"{path}, but {row.where} has {row.label!r}, which is used"
                wrong.append(Discrepancy("wrong class folder", row.image, message))
    for name, paths in raw.images.items():
        if name not in known:
            wrong += [Discrepancy("image without label", path.as_posix(), "in no label file") for path in paths]
    return found, wrong
