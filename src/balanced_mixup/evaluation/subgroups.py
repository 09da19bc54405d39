"""Scores of subgroups of the scored images: the columns of the table that say who is in them, and the scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import kind_of, prepared
from balanced_mixup.data.sources.label_names import MISSING
from balanced_mixup.data.sources.text_table import TextTable, is_table, read_table
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.evaluation.name_matching import match_names
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import defined_metrics
from balanced_mixup.runs.subgroups import Contrast, Subgroup
from balanced_mixup.statistics.differences import difference
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.scoring import score_intervals
from balanced_mixup.training.recipe import make_settings
from balanced_mixup.words import listed

METRICS_SHOWN = ("balanced_accuracy", "macro_auc")
ABSENT = "(not given)"  # the subgroup of images without a value

_BANDS, _MOST_NUMBERS = 4, 6  # a column with more different numbers than this is cut into bands
_MOST = 30  # different values of a column

Strings = npt.NDArray[np.str_]


@dataclass(frozen=True)
class SubgroupColumns:
    """The cells of some columns, each with as many as there are `names` of images."""

    names: Sequence[str]
    columns: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, columns: Sequence[str], run: Path | None, settings: Mapping[str, Any]) -> "SubgroupColumns":
        """Read the columns from the table of the scored data: that of the settings, or else of the run's own data.

        Raises:
            UsageError: The data are not in a table, or it lacks a column.
            DataError: The table cannot be read.
        """
        chosen, recipe = make_settings(settings), None if run is None else Run.open(run).recipe
        if "data" not in chosen.model_fields_set and recipe is not None:
            chosen = recipe
        elif recipe is not None and "image_column" not in chosen.model_fields_set:
            chosen = chosen.model_copy(update={"image_column": recipe.image_column})
        tables = _tables(chosen)
        lacking = [name for name in columns if all(name not in table.header for table, _ in tables)]
        if lacking:
            present = list(dict.fromkeys(name for table, _ in tables for name in table.header))
            raise UsageError(
                f"Expected `subgroup_columns` to name columns of the data ({listed(present)}), but got {lacking[0]!r}."
                f"{nearest(lacking[0], present)}"
            )
        names = [name for table, image_column in tables for name in table.column(image_column)]
        cells = {
            column: [
                cell
                for table, _ in tables
                for cell in (table.column(column) if column in table.header else [""] * len(table.where))
            ]
            for column in columns
        }
        return cls(names, cells)

    def of(self, images: Sequence[str]) -> dict[str, Strings]:
        """Return which subgroup each image is in, by column.

        Raises:
            UsageError: The table lacks an image, or a column has too many values.
        """
        where = [f"row {row + 1}" for row in range(len(self.names))]
        rows = match_names(images, self.names, where).rows
        if (rows < 0).any():
            raise UsageError(
                f"Expected every scored image in the table of the subgroups, but {int((rows < 0).sum()):,} are not in it, such "
                f"as {images[int(np.argmin(rows))]!r}."
            )
        return {column: _values(column, np.array(cells, object)[rows]) for column, cells in self.columns.items()}


def _tables(settings: DataSettings) -> list[tuple[TextTable, str]]:
    """Return the tables of some data, each with the name of its column of images."""
    tables = []
    for data in filter(None, (settings.data, settings.val_data, settings.test_data)):
        own = settings.model_copy(update={"data": data})
        if kind_of(data) == "prepared":
            own = prepared.as_table(own)
        if not is_table(own.data):
            raise UsageError(f"Expected `subgroup_columns` with data in a table, but {data!r} is none.")
        table = read_table(Path(own.data))
        if own.image_column not in table.header:
            raise UsageError(f"Expected {table.name} to have the column {own.image_column!r} with the images.")
        tables.append((table, own.image_column))
    return tables


def _values(column: str, cells: npt.NDArray[np.object_]) -> Strings:
    """Return the subgroup of each cell: its value, or of many numbers the band between two quartiles."""
    absent = np.array([str(cell).strip().lower() in MISSING for cell in cells])
    given = pd.Series(cells[~absent].astype(str)).str.strip()
    numbers = pd.to_numeric(given, errors="coerce")
    if numbers.notna().all() and numbers.nunique() > _MOST_NUMBERS:
        bands = pd.qcut(numbers, _BANDS, labels=False, duplicates="drop")
        ends = numbers.groupby(bands).agg(["min", "max"])
        spans = (f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ends.to_numpy())
        given = bands.map(dict(zip(ends.index, spans, strict=True)))
    elif given.nunique() > _MOST:
        raise UsageError(
            f"Expected a column of `subgroup_columns` to have at most {_MOST} different values, but {column!r} has "
            f"{given.nunique():,}."
        )
    found = np.full(len(cells), ABSENT, object)
    found[~absent] = given.to_numpy(object)
    return found.astype(np.str_)


def subgroups(scored: Predictions, values: Mapping[str, Strings]) -> tuple[Subgroup, ...]:
    """Return the scores of each subgroup, and their differences from all other images.

    A mean over classes is compared where the subgroup and the others have images of the same classes: it leaves a class without
    images out, and classes are not equally hard.

    Args:
        scored: N predictions.
        values: By column, (N,), the subgroup that each image is in.
    """
    found = []
    for column, own in values.items():
        for value in sorted(set(own.tolist()), key=_order):
            inside = own == value
            found.append(_subgroup(scored, column, value, np.flatnonzero(inside), np.flatnonzero(~inside)))
    return tuple(found)


def _order(value: str) -> tuple[bool, float, str]:
    """Order numbers, and bands of them, by their value, then words, and last what is absent."""
    try:
        number = float(value.split(" to ")[0])
    except ValueError:
        number = math.inf
    return value == ABSENT, number, value


def _subgroup(
    scored: Predictions, column: str, value: str, inside: npt.NDArray[np.int64], outside: npt.NDArray[np.int64]
) -> Subgroup:
    here, there = _scores(scored.take(inside)), _scores(scored.take(outside)) if len(outside) else {}
    classes_here, classes_there = (set(scored.labels[rows].tolist()) for rows in (inside, outside))
    nothing = Interval(math.nan)

    def contrast(name: str, comparable: bool) -> Contrast:
        score = here.get(name, nothing)
        return Contrast(score, difference(score, there.get(name, nothing)) if comparable else nothing)

    return Subgroup(
        column,
        value,
        len(inside),
        None if scored.groups is None else len(np.unique(scored.groups[inside])),
        {name: contrast(name, classes_here == classes_there) for name in METRICS_SHOWN},
        {name: contrast(f"recall_{k}", True) for k, name in enumerate(scored.classes)},
        dict(zip(scored.classes, np.bincount(scored.labels[inside], minlength=len(scored.classes)).tolist(), strict=True)),
    )


def _scores(own: Predictions) -> dict[str, Interval]:
    metrics = defined_metrics(own, METRICS_SHOWN)
    return score_intervals(own.labels, own.probabilities, own.groups, classes=own.classes, metrics=metrics)
