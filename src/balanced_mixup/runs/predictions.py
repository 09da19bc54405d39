"""Predictions as a table, and the scores that follow from it."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.errors import UsageError
from balanced_mixup.files import write_atomically
from balanced_mixup.metrics import METRICS, accuracy
from balanced_mixup.statistics.bootstrap import Interval, bootstrap, units_of
from balanced_mixup.statistics.paired_tests import wilson

PREFIX = "p_"

_SAME = 1e-9  # scores of draws that differ by less differ by rounding alone


def as_json(interval: Interval) -> dict[str, float | None]:
    """Return value, low and high, with None for what is undefined."""
    return {key: None if math.isnan(value) else value for key, value in asdict(interval).items()}


def without_point_interval(score: Interval, trials: int | None = None) -> Interval:
    """Return a score with its bootstrap interval; with another one, or none, where that is a point.

    Draws that all score the same say nothing about how sure the score is: one found of one would be 100 % to 100 %.

    Args:
        score: With ends that are NaN, it stays as it is.
        trials: Of a share, the number of images or groups. Where it is 0 or 1 its interval is Wilson's; else there is none.
    """
    if not score.high - score.low < _SAME:
        return score
    if trials is None or score.value not in (0, 1):
        return Interval(score.value, math.nan, math.nan)
    low, high = wilson(score.value, trials)
    return Interval(score.value, float(low), float(high))


@dataclass(frozen=True)
class Predictions:
    """What a model says about N images whose labels are known.

    Args:
        images: Names, (N,).
        labels: int64 (N,).
        probabilities: float (N, K).
        classes: Names of the K classes.
        groups: str (N,), or None.
        split: str (N,), the part of the data each image is in.
    """

    images: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]
    groups: npt.NDArray[np.str_] | None
    split: npt.NDArray[np.str_]

    def part(self, name: str) -> "Predictions":
        """Return those for one part of the split."""
        return self.at(np.flatnonzero(self.split == name))

    def at(self, rows: npt.NDArray[np.int64]) -> "Predictions":
        """Return some of them."""
        return Predictions(
            tuple(self.images[row] for row in rows),
            self.labels[rows],
            self.probabilities[rows],
            self.classes,
            None if self.groups is None else self.groups[rows],
            self.split[rows],
        )

    def write(self, path: Path) -> None:
        """Write a Parquet table: image, group, split, label, prediction, and p_CLASS for each class."""
        names = np.array(self.classes, dtype=object)
        table = pd.DataFrame(
            {
                "image": list(self.images),
                "group": [None] * len(self.images) if self.groups is None else self.groups.astype(object),
                "split": self.split.astype(object),
                "label": names[self.labels],
                "prediction": names[self.probabilities.argmax(axis=1)],
                **{PREFIX + name: self.probabilities[:, k] for k, name in enumerate(self.classes)},
            }
        )
        write_atomically(path, lambda temporary: table.to_parquet(temporary, index=False))

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read what `write` wrote.

        Raises:
            UsageError: There is no such file, or it is damaged.
        """
        try:
            table = pd.read_parquet(path)
            columns = [column for column in table.columns if column.startswith(PREFIX)]
            classes = tuple(column.removeprefix(PREFIX) for column in columns)
            return cls(
                tuple(table["image"]),
                table["label"].map({name: k for k, name in enumerate(classes)}).to_numpy().astype(np.int64),
                table[columns].to_numpy(np.float32),
                classes,
                None if table["group"].isna().any() else table["group"].to_numpy(np.str_),
                table["split"].to_numpy(np.str_),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"Expected {str(path)!r} to be predictions of a run, but: {error}") from None

    def scores(self, replicates: int = 2000) -> dict[str, Any]:
        """Return all scores with 95 % bootstrap intervals, ready for JSON; what is undefined is None.

        `{"n", "groups", "metrics": {name: {"value", "low", "high"}}, "per_class": {class: {"support", "recall",
        "precision"}}}`. Whole groups are resampled where there are groups.

        Where all draws score the same, the bootstrap has no width and is not believed. An accuracy, recall or precision of 0 or
        1 has Wilson's interval then, with as many trials as there are images: all of them, those of the class, those taken for
        it. Where there are groups, the trials are the groups that these images are of. Any other score has no interval then.
        """
        found = bootstrap(self.labels, self.probabilities, self.groups, replicates=replicates)
        trials = self._trials()
        intervals = {name: as_json(without_point_interval(score, trials.get(name))) for name, score in found.items()}
        support = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return {
            "n": len(self.labels),
            "groups": None if self.groups is None else len(np.unique(self.groups)),
            "metrics": {name: intervals[name] for name in METRICS},
            "per_class": {
                name: {
                    "support": support[k],
                    "recall": intervals[f"recall_{k}"],
                    "precision": intervals[f"precision_{k}"],
                }
                for k, name in enumerate(self.classes)
            },
        }

    def _trials(self) -> dict[str, int]:
        """Return how many images, or groups where there are groups, each share is counted on."""
        units, answers = units_of(len(self.labels), self.groups), self.probabilities.argmax(axis=1)
        trials = {accuracy.name: len(np.unique(units))}
        for k in range(len(self.classes)):
            trials[f"recall_{k}"] = len(np.unique(units[self.labels == k]))
            trials[f"precision_{k}"] = len(np.unique(units[answers == k]))
        return trials
