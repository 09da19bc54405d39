"""Predictions for labelled images, as arrays and as a Parquet table."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from balanced_mixup.errors import UsageError
from balanced_mixup.files import write_atomically
from balanced_mixup.runs.formats import PREDICTIONS_FILE, refuse_newer

PREFIX = "p_"

_FORMAT, _ANSWERS = b"balanced_mixup.format", b"balanced_mixup.answers_only"  # keys of the Parquet metadata


@dataclass(frozen=True)
class ImagePredictions:
    """The predictions of a model for N images without labels.

    Args:
        images: Names, (N,).
        probabilities: float32 (N, K), rows sum to 1.
        classes: Names of the K classes.
    """

    images: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]

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
        try:
            with pq.ParquetFile(path) as file:  # read_table would parse a folder name such as gamma=2 as a column
                stored = file.read()
            facts = stored.schema.metadata or {}
            number = int(facts.get(_FORMAT, b"1"))
            table = stored.to_pandas()
            columns = [column for column in table.columns if column.startswith(PREFIX)]
            classes = tuple(column.removeprefix(PREFIX) for column in columns)
            predictions = cls(
                tuple(table["image"]),
                table["label"].map({name: k for k, name in enumerate(classes)}).to_numpy().astype(np.int64),
                table[columns].to_numpy(np.float32),
                classes,
                None if table["group"].isna().any() else table["group"].to_numpy(np.str_),
                table["split"].to_numpy(np.str_),
                _ANSWERS in facts,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"Expected {str(path)!r} to be predictions of a run, but: {error}") from None
        refuse_newer(path, number, PREDICTIONS_FILE)
        return predictions
