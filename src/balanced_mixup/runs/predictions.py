"""Predictions for labelled images, as arrays and as a Parquet table."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from balanced_mixup.files import write_atomically
from balanced_mixup.runs.formats import PREDICTIONS_FILE, damaged, refuse_newer

PREFIX = "p_"

_MOST_ROWS_PER_BYTE = 10  # names of images differ, which no compression makes that small
_REMEDY = "Restore it from a copy of the run."
# What pyarrow and pandas raise for files of another content.
_UNREADABLE = (OSError, MemoryError, ValueError, LookupError, TypeError, AttributeError, OverflowError, pa.ArrowException)
_FORMAT, _ANSWERS = b"balanced_mixup.format", b"balanced_mixup.answers_only"  # keys of the Parquet metadata


@dataclass(frozen=True)
class ImagePredictions:
    """The predictions of a model for N images without labels.

    Args:
        images: Names, (N,).
        probabilities: float32 (N, K), rows sum to 1.
        classes: Names of the K classes.
        excluded: Names of the images that were left out (with `exclude_bad`), each with its problems.
    """

    images: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def __repr__(self) -> str:
        """Return a short description: how many images are predicted as each class."""
        names, counts = np.unique(self.predicted.astype(str), return_counts=True)
        order = np.argsort(-counts, kind="stable")[:5]
        shown = ", ".join(f"{names[k]}: {counts[k]}" for k in order) + (", ..." if len(names) > 5 else "")
        return f"ImagePredictions({len(self)} images, {len(self.classes)} classes; predicted {shown})"

    def _repr_html_(self) -> str:
        """Return the first rows of the table, for a notebook."""
        html: str = self.to_frame().head(10).to_html(index=False, max_cols=10, float_format="{:.3f}".format)
        return html + (f"<p>{len(self):,} images</p>" if len(self) > 10 else "")

    @property
    def predicted(self) -> npt.NDArray[np.object_]:
        """The most probable class of each image, by name, (N,)."""
        names: npt.NDArray[np.object_] = np.array(self.classes, dtype=object)[self.probabilities.argmax(axis=1)]
        return names

    def to_frame(self) -> pd.DataFrame:
        """Return a row per image: image, prediction, and p_CLASS for each class."""
        columns = {PREFIX + name: self.probabilities[:, k] for k, name in enumerate(self.classes)}
        return pd.DataFrame({"image": list(self.images), "prediction": self.predicted, **columns})


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for N labelled images.

    Args:
        images: Names, (N,).
        labels: int64 (N,).
        probabilities: float (N, K).
        classes: Names of the K classes.
        groups: str (N,), or None.
        split: str (N,), the split that each image is in.
        answers_only: The model gave classes and no probabilities, which are 0 and 1: what needs probabilities is undefined.
    """

    images: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]
    groups: npt.NDArray[np.str_] | None
    split: npt.NDArray[np.str_]
    answers_only: bool = False

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def __repr__(self) -> str:
        """Return a one-line description."""
        return f"Predictions({len(self)} images, {len(self.classes)} classes)"

    def in_split(self, name: str) -> "Predictions":
        """Return the predictions of one split."""
        return self.take(np.flatnonzero(self.split == name))

    def take(self, rows: npt.NDArray[np.int64]) -> "Predictions":
        """Return the predictions of some rows."""
        return Predictions(
            tuple(self.images[row] for row in rows),
            self.labels[rows],
            self.probabilities[rows],
            self.classes,
            None if self.groups is None else self.groups[rows],
            self.split[rows],
            self.answers_only,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per image: image, group, split, label, prediction, and p_CLASS for each class."""
        names = np.array(self.classes, dtype=object)
        return pd.DataFrame(
            {
                "image": list(self.images),
                "group": [None] * len(self) if self.groups is None else self.groups.astype(object),
                "split": self.split.astype(object),
                "label": names[self.labels],
                "prediction": names[self.probabilities.argmax(axis=1)],
                **{PREFIX + name: self.probabilities[:, k] for k, name in enumerate(self.classes)},
            }
        )

    def write(self, path: Path) -> None:
        """Write `to_frame` as Parquet."""
        table = pa.Table.from_pandas(self.to_frame(), preserve_index=False)
        facts = {_FORMAT: str(PREDICTIONS_FILE.newest), **({_ANSWERS: "yes"} if self.answers_only else {})}
        table = table.replace_schema_metadata({**table.schema.metadata, **facts})
        write_atomically(path, lambda temporary: pq.write_table(table, temporary))

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read what `write` wrote.

        Raises:
            UsageError: There is no such file, or it is damaged, or of a newer version.
        """
        stored = _stored(path)
        try:
            facts = stored.schema.metadata or {}
            table = stored.to_pandas()
            columns = [column for column in table.columns if column.startswith(PREFIX)]
            classes = tuple(column.removeprefix(PREFIX) for column in columns)
            rows = table["label"].map({name: k for k, name in enumerate(classes)})
            if rows.isna().any():
                raise ValueError(f"the label {table['label'][rows.isna()].iloc[0]!r:.100} is not among the classes")
            return cls(
                tuple(table["image"]),
                rows.to_numpy().astype(np.int64),
                table[columns].to_numpy(np.float32),
                classes,
                None if table["group"].isna().any() else table["group"].to_numpy(np.str_),
                table["split"].to_numpy(np.str_),
                _ANSWERS in facts,
            )
        except _UNREADABLE as error:
            raise damaged(path, error, _REMEDY) from None

    @staticmethod
    def classes_in(path: Path) -> tuple[str, ...]:
        """Return the names of the classes in a file, without reading its rows. UsageError as `read`."""
        try:
            columns = pq.read_schema(path).names
        except _UNREADABLE as error:
            raise damaged(path, error, _REMEDY) from None
        return tuple(name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX))


def _stored(path: Path) -> pa.Table:
    """Return the table in a file whose format this version knows."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        with pq.ParquetFile(path) as file:  # read_table would parse a folder name such as gamma=2 as a column
            number = int((file.schema_arrow.metadata or {}).get(_FORMAT, b"1"))
            if file.metadata.num_rows > 1000 + _MOST_ROWS_PER_BYTE * path.stat().st_size:
                raise ValueError(f"{file.metadata.num_rows:,} rows are more than it can hold")
            stored = file.read() if number <= PREDICTIONS_FILE.newest else None
    except _UNREADABLE as error:
        raise damaged(path, error, _REMEDY) from None
    refuse_newer(path, number, PREDICTIONS_FILE)
    return stored
