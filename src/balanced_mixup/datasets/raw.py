"""The raw folder of a data set as its owner downloaded and unpacked it: which images and which other files are in it."""

import filecmp
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from balanced_mixup.data.images import EXTENSIONS
from balanced_mixup.datasets.card import PREPARED, Card, key
from balanced_mixup.errors import DataError, Problem


@dataclass
class Raw:
    """What was found under `root`.

    Args:
        root: The folder.
        images: Paths of the images from `root` by `card.key` of their names, each list sorted by depth and name.
        others: Paths of the other files by their name in lower case, sorted likewise.
        skipped: Number of files in each folder that is none of this data set's.
    """

    root: Path
    images: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    others: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    skipped: Counter[str] = field(default_factory=Counter)

    def file(self, names: Iterable[str]) -> Path | None:
        """Return the file of one of these names, None where there is none.

        Raises:
            DataError: There are several, and they differ.
        """
        found = [self.root / path for name in names for path in self.others.get(name.lower(), ())]
        if len(found) > 1 and not same(found):
            message = f"{self.root}: expected one {found[0].name}, got {' and '.join(map(str, found))}, which differ"
            raise DataError([Problem("several label files", message, "Take all but the right one out of the folder.")])
        return found[0] if found else None


def same(paths: Sequence[Path]) -> bool:
    """Return whether all these files have the same content."""
    return all(filecmp.cmp(paths[0], other, shallow=False) for other in paths[1:])


def scan(root: Path, card: Card) -> Raw:
    """Look for images and label files under `root`, however deep; hidden files and prepared folders are passed over.

    Links are followed, each folder is looked into once.

    Raises:
        DataError: A folder cannot be read.
    """
    raw = Raw(root)
    seen: set[str] = set()
    for parent, folders, names in os.walk(root, onerror=_unreadable, followlinks=True):
        place = os.path.realpath(parent)
        if PREPARED in names or place in seen:
            folders.clear()
            continue
        seen.add(place)
        for folder in [name for name in folders if any(fnmatch(name.lower(), p.lower()) for p in card.passes_over)]:
            raw.skipped[folder] += sum(len(files) for *_, files in os.walk(Path(parent, folder)))
            folders.remove(folder)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            path = Path(parent, name).relative_to(root)
            if path.suffix.lower() in EXTENSIONS and not name.startswith("."):
                raw.images[key(name)].append(path)
            else:
                raw.others[name.lower()].append(path)
    for paths in (*raw.images.values(), *raw.others.values()):
        paths.sort(key=lambda path: (len(path.parts), path))
    return raw


def _unreadable(error: OSError) -> None:
    raise DataError([Problem("unreadable folder", str(error), "Check the folder's permissions and the disk.")]) from error
