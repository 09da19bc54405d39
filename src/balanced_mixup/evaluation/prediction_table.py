"""Predictions of another program in a table: which of its columns say what, and how scores become probabilities.

The table has a row per image, with its name and

- a column for each class, named by the class itself, by p_CLASS as `bmixup predict` writes it, or with another prefix; or
- one such column where there are two classes: the score of that class; or
- a column with the predicted class. From class answers alone there is no AUC and no calibration.

`scores` says what the numbers are. "probabilities" sum to 1 in each row; up to 0.02 of rounding is divided out, and more
is refused, as nobody but the user knows what such numbers mean. "logits" go through a softmax (of one column for two classes: a
sigmoid). "independent" are probabilities of each class against the rest, such as sigmoid outputs, and divided by their sum.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.sources.label_names import MISSING, canonical
from balanced_mixup.data.sources.text_table import TextTable
from balanced_mixup.errors import Problem, UsageError, nearest
from balanced_mixup.evaluation.table_format import Scale, TableFormat
from balanced_mixup.runs.predictions import PREFIX
from balanced_mixup.table_files import restored
from balanced_mixup.words import counted, listed

Floats = npt.NDArray[np.float64]

ANSWER, FOLD = "prediction", "fold"  # columns, if no others are named

_NAMED = 8  # columns that a message names
_ROUNDING = 0.02  # by which the probabilities of an image may miss a sum of 1


@dataclass(frozen=True)
class PredictionTable:
    """M predictions as a table gives them.

    Args:
        names: Of the images, (M,).
        where: The place of each row, for messages.
        classes: Names of the K classes that it predicts.
        probabilities: float64 (M, K); 0 and 1 for class answers; NaN in a row with a problem.
        folds: The fold of each row, or None.
        answers_only: It has predicted classes and no scores.
        problems: What is wrong with single rows.
        remarks: Sentences on how it was read.
    """

    names: Sequence[str]
    where: Sequence[str]
    classes: tuple[str, ...]
    probabilities: Floats
    folds: Sequence[str] | None
    answers_only: bool
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]

    def take(self, rows: Sequence[int]) -> Self:
        """Return some rows."""
        position = {row: new for new, row in enumerate(rows)}
        problems = []
        for problem in self.problems:
            kept = tuple(position[row] for row in problem.rows if row in position)
            problems += [replace(problem, rows=kept)] * bool(kept)
        return replace(
            self,
            names=[self.names[row] for row in rows],
            where=[self.where[row] for row in rows],
            probabilities=self.probabilities[rows],
            folds=None if self.folds is None else [self.folds[row] for row in rows],
            problems=tuple(problems),
        )


def parse_predictions(
    table: TextTable, form: TableFormat, known: Sequence[str], label_map: Mapping[str, str], name_column: str = "image"
) -> PredictionTable:
    """Read predictions from the cells of a table.

    Args:
        table: The cells.
        form: What its columns are.
        known: The classes of the labels.
        label_map: New names for its classes.
        name_column: Of the labels.

    Raises:
        UsageError: A column is missing or named twice, or no column has predictions.
    """
    renamed = {canonical(old): canonical(new) for old, new in label_map.items()}

    def class_of(text: str) -> str:
        return renamed.get(canonical(text), canonical(text))

    wanted = form.name_column or next((name for name in (name_column, "image") if name in table.header), name_column)
    names = [restored(cell) for cell in _column(table, wanted, "--name-column")]
    folds = None
    if form.fold_column is not None or FOLD in table.header:
        folds = _column(table, form.fold_column or FOLD, "--fold-column")
    columns = {} if form.prediction_column is not None else _score_columns(table, form, known, class_of, {wanted, FOLD})
    if not columns:
        return _of_answers(table, form, known, class_of, names, folds)
    classes, scores = tuple(columns), np.column_stack([_numbers(_column(table, name, "--prefix")) for name in columns.values()])
    remarks = []
    if len(classes) == 1:
        if len(known) != 2 or classes[0] not in known:
            raise UsageError(
                f"Expected a column with the scores of each class ({', '.join(known)}) in {table.name}, but only found "
                f"{next(iter(columns.values()))!r}. One column is enough for two classes alone."
            )
        other = next(name for name in known if name != classes[0])
        remarks.append(
            f"the column {next(iter(columns.values()))!r} is the score of {classes[0]}, the rest to 1 that of {other}"
        )
        classes = (*classes, other)
        scores = np.column_stack([scores, np.zeros_like(scores) if form.scores == "logits" else 1 - scores])
    if (unknown := [name for name in known if name not in classes]) and len(unknown) == len(known):
        raise UsageError(
            f"Expected {table.name} to predict the classes of the labels ({', '.join(known)}), but its columns are of "
            f"{', '.join(classes)}. Rename classes with --label-map.OLD NEW, or name the columns with --prefix."
        )
    probabilities, problems, remark = _probabilities(scores, form.scores, table, listed([*columns.values()], _NAMED))
    remarks += [remark] * bool(remark)
    zeros, others = _left_out(table, {wanted, form.fold_column or FOLD, ANSWER, *columns.values()})
    if zeros:
        remarks.append(f"left out, as 0 in each row and no class of the labels: {listed([*map(repr, zeros)], _NAMED)}")
    if others and (form.scores == "independent" or any(problem.kind == _NO_SUM for problem in problems)):
        sentence = f"left out, though numbers from 0 to 1, as no class of the labels: {listed([*map(repr, others)], _NAMED)}"
        remarks.append(sentence)
        remedy = f"The columns {sentence}. {_INCLUDE}"
        problems = [replace(each, remedy=f"{remedy} {each.remedy}") if each.kind == _NO_SUM else each for each in problems]
    if ANSWER in table.header and (against := _contradictions(table, classes, probabilities, class_of)):
        remarks.append(f"in {counted(against, 'row')} the column {ANSWER!r} is not the most probable class, which is scored")
    return PredictionTable(names, table.where, classes, probabilities, folds, False, tuple(problems), tuple(remarks))


def _column(table: TextTable, name: str, flag: str) -> list[str]:
    if table.header.count(name) == 1:
        return list(table.column(name))
    fault = "more than one" if name in table.header else "no"
    present = ", ".join(map(repr, table.header))
    raise UsageError(
        f"The predictions in {table.name} have {fault} column {name!r}; their columns are {present}."
        f"{nearest(name, table.header)} Name the column with {flag}."
    )


def _score_columns(
    table: TextTable, form: TableFormat, known: Sequence[str], class_of: Callable[[str], str], special: set[str]
) -> dict[str, str]:
    """Return the column of each class, none if there are no scores."""
    header = [name for name in table.header if name not in special | {form.fold_column}]
    prefixes = [form.prefix] if form.prefix is not None else [PREFIX, ""]
    for prefix in prefixes:
        found = [(class_of(name.removeprefix(prefix)), name) for name in header if name.startswith(prefix) and name != prefix]
        if prefix == "":
            found = [(name, column) for name, column in found if name in known]
        elif form.prefix is None and not any(name in known for name, _ in found):
            continue  # columns that happen to begin like that
        columns = dict(found)
        if len(columns) < len(found):
            twice = next(name for name, _ in found if sum(name == other for other, _ in found) > 1)
            raise UsageError(f"Expected one column for each class in {table.name}, but several are of the class {twice!r}.")
        if columns:
            return columns
    if form.prefix is not None:
        present = ", ".join(map(repr, table.header))
        raise UsageError(f"Expected columns that begin with {form.prefix!r} in {table.name}, but its columns are {present}.")
    return {}


def _left_out(table: TextTable, known: set[str]) -> tuple[list[str], list[str]]:
    """Return other columns of numbers from 0 to 1: those of zeros alone, and the others."""
    zeros: list[str] = []
    others: list[str] = []
    for name in table.header:
        if name not in known and table.header.count(name) == 1:
            numbers = _numbers(table.column(name))
            if len(numbers) and ((numbers >= 0) & (numbers <= 1)).all():
                (others if numbers.any() else zeros).append(name)
    return zeros, others


def _of_answers(
    table: TextTable,
    form: TableFormat,
    known: Sequence[str],
    class_of: Callable[[str], str],
    names: Sequence[str],
    folds: Sequence[str] | None,
) -> PredictionTable:
    column = form.prediction_column or ANSWER
    if column not in table.header and form.prediction_column is None:
        present = ", ".join(map(repr, table.header))
        raise UsageError(
            f"Expected predictions in {table.name}: a column for each class ({', '.join(known)}), with or without a prefix, or "
            f"a column with the predicted class; but its columns are {present}. Name them with --prefix or "
            "--prediction-column, and rename classes with --label-map.OLD NEW."
        )
    cells = [class_of(cell) for cell in _column(table, column, "--prediction-column")]
    classes = tuple(dict.fromkeys([*known, *(cell for cell in cells if cell.lower() not in MISSING)]))
    position = {name: k for k, name in enumerate(classes)}
    probabilities = np.full((len(cells), len(classes)), np.nan)
    problems = []
    for row, cell in enumerate(cells):
        if cell in position:
            probabilities[row] = np.arange(len(classes)) == position[cell]
        else:
            message = f"{table.where[row]}: expected a class, got {cell!r}"
            problems.append(Problem("no prediction", message, "Fill in the predicted class, or remove the image.", (row,)))
    remarks = [f"the column {column!r} has classes alone, so there is no AUC and no calibration"]
    if strange := [name for name in classes if name not in known]:
        remarks.append(f"predicted, but not a class of the labels: {listed(strange, _NAMED)}")
    return PredictionTable(names, table.where, classes, probabilities, folds, True, tuple(problems), tuple(remarks))


def _numbers(cells: Sequence[str]) -> Floats:
    """Return cells as numbers, NaN where they are none; 0,5 is 0.5 in a column without points."""
    if not any("." in cell for cell in cells):
        cells = [cell.replace(",", ".") for cell in cells]

    def number(cell: str) -> float:
        try:
            return float(cell)
        except ValueError:
            return np.nan

    return np.array([number(cell) for cell in cells], np.float64)


def _probabilities(scores: Floats, scale: Scale, table: TextTable, columns: str) -> tuple[Floats, list[Problem], str]:
    """Return probabilities (M, K), NaN in a row with a problem; the problems; and how they were made."""
    finite = np.isfinite(scores).all(axis=1)
    problems = [
        Problem("no prediction", f"{table.where[row]}: expected numbers in {columns}", _NUMBERS, (row,))
        for row in np.flatnonzero(~finite).tolist()
    ]
    if scale == "logits":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True), problems, "probabilities are the softmax of the logits"
    sums = scores.sum(axis=1)
    inside = ((scores >= 0) & (scores <= 1)).all(axis=1)
    good = inside & (sums > 0) if scale == "independent" else inside & (np.abs(sums - 1) <= _ROUNDING)
    wanted = "scores from 0 to 1, not all 0" if scale == "independent" else "probabilities from 0 to 1 with the sum 1"
    for row in np.flatnonzero(finite & ~good).tolist():
        got = f"{scores[row].min():g} to {scores[row].max():g} with the sum {sums[row]:g}"
        message = f"{table.where[row]}: expected {wanted} in {columns}, got {got}"
        problems.append(Problem(_NO_SUM, message, _SCALES, (row,)))
    with np.errstate(divide="ignore", invalid="ignore"):
        probabilities = np.where((finite & good)[:, None], scores / sums[:, None], np.nan)
    if scale == "independent":
        return probabilities, problems, "probabilities are the scores of the classes divided by their sum"
    return probabilities, problems, ""


_NO_SUM = "no probabilities"
_INCLUDE = (
    "If they are of classes that no image has, include them: begin the names of all columns of classes with p_ (or another "
    "--prefix), or list all classes with --classes; a class of another name is renamed with --label-map.OLD NEW."
)
_NUMBERS = "Fill in the scores of each class, or remove the image."
_SCALES = (
    "Say what the numbers are: `--scores logits` (a softmax makes them probabilities), or `--scores independent` for each "
    "class against the rest, such as sigmoid outputs (divided by their sum). Percentages have to be divided by 100."
)


def _contradictions(table: TextTable, classes: Sequence[str], probabilities: Floats, class_of: Callable[[str], str]) -> int:
    """Return in how many rows the predicted class that the table names is less probable than another."""
    position = {name: k for k, name in enumerate(classes)}
    named = np.array([position.get(class_of(cell), -1) for cell in table.column(ANSWER)])
    known = (named >= 0) & np.isfinite(probabilities).all(axis=1)
    own = probabilities[np.arange(len(named)), named]
    return int((known & (own < probabilities.max(axis=1, initial=0) - 1e-6)).sum())
