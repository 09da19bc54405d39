"""The folder of a prepared data set: its settings, its images, its table, what was found, and what it is.

prepare.yaml    settings, written first: the folder is being prepared, or is prepared
images/         the images
labels.csv      image, label, group, split and further published columns; only images that are there
problems.csv    kind, image, message: everything that is not as published
dataset.yaml    what the data set is, written last: the folder can be trained on
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from balanced_mixup.datasets.card import PREPARED
from balanced_mixup.datasets.pictures import Look
from balanced_mixup.datasets.raw_labels import Finding, Row
from balanced_mixup.errors import UsageError
from balanced_mixup.files import write_atomically, write_text

DATASET = "dataset.yaml"
LABELS = "labels.csv"
PROBLEMS = "problems.csv"


@dataclass(frozen=True)
class Folder:
    """A folder that the data set `name` is prepared in."""

    path: Path
    name: str
    look: Look

    def image(self, name: str) -> Path:
        """Return the path of a prepared image from the folder; `name` is a `card.key`."""
        return Path("images", f"{name}.{self.look.format}")

    def check(self) -> None:
        """Refuse a folder that holds something else, or the data set with other settings.

        Raises:
            UsageError: It is not to be used.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"Expected --out to be a folder, but {str(self.path)!r} is a file.")
        try:
            before = yaml.safe_load((self.path / PREPARED).read_text(encoding="utf-8"))
        except FileNotFoundError:
            if self.path.is_dir() and any(path.name != ".lock" for path in self.path.iterdir()):
                raise UsageError(
                    f"Expected --out to be a new or empty folder, or one that is being prepared, but {str(self.path)!r} holds "
                    "other files. Choose another folder."
                ) from None
            return
        except (ValueError, yaml.YAMLError) as error:
            raise UsageError(
                f"{str(self.path / PREPARED)!r} is damaged ({error}): delete the folder, or choose another."
            ) from error
        settings = self._settings()
        before = before if isinstance(before, dict) else {}
        other = [f"{key} {before.get(key)!r}" for key, value in settings.items() if before.get(key) != value]
        if other:
            raise UsageError(
                f"Expected the settings that {str(self.path)!r} was begun with, {', '.join(other)}; but got "
                f"{', '.join(f'{key} {value!r}' for key, value in settings.items() if before.get(key) != value)}. Choose "
                "another folder, or delete this one."
            )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder for this process while the block runs; what a killed one left half-written is removed.

        Raises:
            UsageError: The folder is not to be used, or another process is preparing it.
        """
        self.check()
        (self.path / "images").mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"Another process is preparing {str(self.path)!r}: wait for it, or choose another folder."
            ) from None
        try:
            write_text(self.path / PREPARED, _yaml(self._settings()))
            for half in (self.path / "images").glob(".*.tmp"):
                half.unlink()
            yield
        finally:
            lock.release()

    def write(self, rows: Mapping[str, Row], findings: Sequence[Finding], about: Mapping[str, Any]) -> None:
        """Write the tables and, last, what the data set is.

        Args:
            rows: The images that are there, by `card.key`.
            findings: Everything that is not as published.
            about: What `dataset.yaml` says beside the columns.
        """
        more = list(dict.fromkeys(name for row in rows.values() for name in row.more))
        groups, split = (any(getattr(row, role) for row in rows.values()) for role in ("group", "split"))
        roles = ["image", "label", *(["group"] if groups else []), *(["split"] if split else [])]
        table = [[*roles, *more]]
        for name, row in rows.items():
            cells = {"image": self.image(name).as_posix(), "label": row.label, "group": row.group, "split": row.split}
            table.append([*(cells[role] for role in roles), *(row.more.get(column, "") for column in more)])
        _write_csv(self.path / LABELS, table)
        _write_csv(self.path / PROBLEMS, [Finding._fields, *findings])
        write_text(self.path / DATASET, _yaml({**about, "columns": {role: role for role in roles}, "more_columns": more}))

    def _settings(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self.look)}


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    write_atomically(path, write)


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120)
