"""The folder of a prepared data set.

prepare.yaml    settings, written first: the folder is being prepared, or is prepared
images/         the images
labels.csv      image, label, group, split and further published columns; only images that exist
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

from balanced_mixup.data.sources import PREPARED
from balanced_mixup.data.sources.prepared import DATASET, LABELS, PROBLEMS
from balanced_mixup.datasets.pictures import ImageFormat
from balanced_mixup.datasets.raw import Discrepancy, LabelledImage
from balanced_mixup.errors import UsageError
from balanced_mixup.files import write_atomically, write_text
from balanced_mixup.settings_file import load_yaml


@dataclass(frozen=True)
class PreparedFolder:
    """A folder that the data set `name` is prepared in."""

    path: Path
    name: str
    format: ImageFormat

    def image(self, name: str) -> Path:
        """Return the path of a prepared image from the folder; `name` is a `card.key`."""
        return Path("images", f"{name}.{self.format.format}")

    def existing(self) -> set[str]:
        """Return the keys of the images that exist."""
        return {path.stem for path in (self.path / "images").glob(f"*.{self.format.format}")}

    def check(self) -> None:
        """Raise UsageError if the folder contains something else, or images with other settings."""
        path, settings = self.path, self._settings()
        if path.exists() and not path.is_dir():
            raise UsageError(f"Expected --out to be a folder, but {str(path)!r} is a file.")
        if not (path / PREPARED).exists():
            if path.is_dir() and any(not file.name.startswith(".") for file in path.iterdir()):
                raise UsageError(
                    f"Expected --out to be a new or empty folder, or one that is being prepared, but {str(path)!r} contains "
                    "other files. Choose another folder."
                )
            return
        try:
            before = load_yaml(path / PREPARED)
        except UsageError as error:
            raise UsageError(f"{str(path / PREPARED)!r} is damaged ({error}): delete the folder, or choose another.") from error
        other = [key for key in settings if before.get(key) != settings[key]]
        if other and any(image.suffix in (".jpg", ".png") for image in (path / "images").glob("[!.]*")):
            expected, got = (", ".join(f"{key} {values.get(key)!r}" for key in other) for values in (before, settings))
            raise UsageError(
                f"Expected the settings that {str(path)!r} was started with, {expected}; but got {got}. Choose another folder, "
                "or delete this one."
            )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Lock the folder while the block runs; half-written files of a killed process are removed.

        Raises:
            UsageError: The folder is unsuitable, or another process is preparing it.
        """
        self.check()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / ".lock").acquire(timeout=0):
                write_text(self.path / PREPARED, _yaml(self._settings()))
                (self.path / "images").mkdir(exist_ok=True)
                for temporary in (self.path / "images").glob(".*.tmp"):
                    temporary.unlink()
                yield
        except Timeout:
            raise UsageError(
                f"Another process is preparing {str(self.path)!r}: wait for it, or choose another folder."
            ) from None

    def write(self, rows: Mapping[str, LabelledImage], wrong: Sequence[Discrepancy], about: Mapping[str, Any]) -> None:
        """Write the tables and, last, what the data set is.

        Args:
            rows: The prepared images, by `card.key`.
            discrepancies: Everything that is not as published.
            about: The content of `dataset.yaml` apart from the columns.
        """
        more = list(dict.fromkeys(name for row in rows.values() for name in row.more))
        roles = ["image", "label", *(role for role in ("group", "split") if any(getattr(row, role) for row in rows.values()))]
        table = [[*roles, *more]]
        for name, row in rows.items():
            cells = vars(row) | {"image": self.image(name).as_posix()}
            table.append([*(cells[role] for role in roles), *(row.more.get(column, "") for column in more)])
        _write_csv(self.path / LABELS, table)
        _write_csv(self.path / PROBLEMS, [Discrepancy._fields, *wrong])
        write_text(self.path / DATASET, _yaml({**about, "columns": {role: role for role in roles}, "more_columns": more}))

    def _settings(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self.format)}


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    write_atomically(path, write)


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120)
