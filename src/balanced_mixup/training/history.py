"""The history of a training: a row per epoch, and the best epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from balanced_mixup.files import write_text
from balanced_mixup.metrics import METRICS
from balanced_mixup.table_files import csv_text
from balanced_mixup.training import schedules

Row = dict[str, Any]


class History:
    """The epochs so far, over all stages.

    A row holds "epoch" (from 1), "stage" (its name), "learning_rate", "train_loss" and a column for each metric on validation.
    """

    def __init__(self, monitor: str) -> None:
        """Args: monitor: The metric that chooses the epoch."""
        self.monitor = monitor
        self.rows: list[Row] = []

    def scores(self, first: int = 0) -> list[float]:
        """Return the monitored score of each epoch from row `first` (from 0) on, with its sign such that higher is better."""
        sign = 1 if METRICS[self.monitor].higher_is_better else -1
        return [sign * row[self.monitor] for row in self.rows[first:]]

    def best_epoch(self, first: int = 0) -> int:
        """Return the number of the epoch with the best score from row `first` on; the first of them where none is defined."""
        scores = self.scores(first)
        best = first + max(1, len(scores) - schedules.epochs_since_best(scores)) - 1
        return int(self.rows[best]["epoch"])

    def score_of(self, epoch: int) -> float:
        """Return the monitored score of an epoch."""
        return float(next(row[self.monitor] for row in self.rows if row["epoch"] == epoch))

    def write(self, path: Path) -> None:
        """Write the history as CSV."""
        write_text(path, csv_text(pd.DataFrame(self.rows)))


def upgraded(rows: Sequence[Row]) -> list[Row]:
    """Return rows in the current format: those of older checkpoints, which had a single stage, lack its name."""
    return [{"epoch": row["epoch"], "stage": "train", **row} for row in rows]
