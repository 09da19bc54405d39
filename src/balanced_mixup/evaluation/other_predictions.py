"""Predictions of another program: matched with labels, and scored like those of a run."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.class_prior import rare_classes
from balanced_mixup.calibration.scores import scored_calibration
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.sources.label_names import sorted_classes
from balanced_mixup.data.sources.text_table import TextTable, read_table
from balanced_mixup.errors import DataError, Problem, UsageError, describe
from balanced_mixup.evaluation.name_matching import match_names
from balanced_mixup.evaluation.other_data import choose_rows
from balanced_mixup.evaluation.prediction_table import PredictionTable, TableFormat, parse_predictions
from balanced_mixup.runs.evaluation import CalibrationResult, EvaluationResult, OtherProgram
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores

log = logging.getLogger("balanced_mixup")

_FEW_CLASSES = "too few classes"  # a problem of labels alone: the predictions may be of more


@dataclass(frozen=True)
class Labelled:
    """N images with labels, without their pixels.

    Args:
        names: Of the images.
        labels: int64 (N,), positions in `classes`; -1 where the label is invalid.
        classes: Names of their classes.
        ordinal: The classes are ordinal.
        groups: str (N,), or None.
        split: str (N,), the split that each is in.
        scored: int64, the rows that are scored; the others are only known.
        problems: What is wrong with the labels; their rows are of these images.
    """

    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    ordinal: bool
    groups: npt.NDArray[np.str_] | None
    split: npt.NDArray[np.str_]
    scored: npt.NDArray[np.int64]
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of_run(cls, run: Run, split: str) -> "Labelled":
        """Return the images that a run has stored predictions of, of which one split is scored. UsageError if it is empty."""
        stored = run.predictions
        rows = np.flatnonzero(stored.split == split) if split != "all" else np.arange(len(stored))
        if not len(rows):
            kept = ", ".join(dict.fromkeys(stored.split.tolist()))
            raise UsageError(f"The run in {str(run.path)!r} has no images in the split {split!r}, only in: {kept}.")
        return cls(stored.images, stored.labels, stored.classes, run.ordinal, stored.groups, stored.split, rows)

    @classmethod
    def of_data(cls, settings: DataSettings, split: str | None) -> "tuple[Labelled, str]":
        """Return the images of other data, none of which is opened, and the name of the split that is scored.

        Raises:
            DataError: The table cannot be read.
            UsageError: The data have no such split.
        """
        manifest: Manifest = load(settings)
        rows, chosen = choose_rows(manifest, split)
        splits = np.full(len(manifest), "all") if manifest.split is None else manifest.split
        parts = manifest.images.names, manifest.labels, manifest.classes, manifest.ordinal, manifest.groups
        return cls(*parts, splits, rows, manifest.problems), chosen


def read_predictions(file: Path, labelled: Labelled, form: TableFormat, settings: DataSettings) -> PredictionTable:
    """Read a table of predictions for labelled images.

    Raises:
        DataError: The file cannot be read.
        UsageError: It has no predictions of the classes of the labels.
    """
    if not file.is_file():
        raise UsageError(f"Expected `predictions` to be a table, but there is no file {str(file)!r}.")
    table: TextTable = read_table(file)
    if table.problems:
        raise DataError(table.problems)
    known = settings.classes or labelled.classes
    return parse_predictions(table, form, known, settings.label_map, settings.image_column)


def matched(labelled: Labelled, table: PredictionTable, settings: DataSettings, *, what: str = "") -> Predictions:
    """Match predictions with labels.

    Args:
        labelled: The labels.
        table: The predictions.
        settings: `classes` is their order, if given; with `exclude_bad`, images that have a problem are left out.
        what: Of the two, for the log.

    Raises:
        DataError: Labels or predictions are missing or invalid, or an image is predicted twice; lists all of it.
    """
    names = list(dict.fromkeys((*labelled.classes, *table.classes)))
    classes = settings.classes or (labelled.classes if len(names) == len(labelled.classes) else sorted_classes(names))
    match = match_names(labelled.names, table.names, table.where)
    rows = labelled.scored
    found = match.rows[rows]
    problems = [problem for problem in labelled.problems if problem.kind != _FEW_CLASSES or len(classes) < 2]
    bad_rows = {row for problem in table.problems for row in problem.rows}
    used = set(found.tolist())
    # Problems of predictions that are not scored do not matter.
    problems += [replace(problem, rows=()) for problem in table.problems if set(problem.rows) & used]
    problems += [replace(problem, rows=()) for problem in match.problems]
    missing = rows[found < 0].tolist()
    remedy = "Predict these images too, correct their names, or leave them out with --exclude-bad."
    problems += [
        Problem("image without a prediction", f"{labelled.names[row]}: not among the predictions", remedy, (row,))
        for row in missing
    ]
    problems += _unpredictable(labelled, rows, classes, table)
    fatal = [problem for problem in problems if problem.fatal]
    if settings.exclude_bad:
        known_bad = {row for problem in problems if problem.fatal for row in problem.rows}
        good = [i for i, row in enumerate(rows.tolist()) if row not in known_bad and found[i] not in bad_rows and found[i] >= 0]
        twice = [problem for problem in match.problems if problem.fatal]
        if twice or not good:
            raise DataError(problems)
        if len(good) < len(rows):
            log.warning("Left out %d of %d images that have a problem.", len(rows) - len(good), len(rows))
        rows, found = rows[good], found[good]
    elif fatal:
        raise DataError(problems)
    elif problems:
        log.warning("%s", describe(problems, examples=3))
    for sentence in (*match.how, *table.remarks):
        log.info("%s", f"{what}: {sentence}." if what else f"Predictions: {sentence}.")
    position = {name: k for k, name in enumerate(classes)}
    probabilities = np.zeros((len(rows), len(classes)), np.float32)
    probabilities[:, [position[name] for name in table.classes]] = table.probabilities[found]
    of_class = np.array([position[name] for name in labelled.classes], np.int64)
    return Predictions(
        tuple(labelled.names[row] for row in rows),
        of_class[labelled.labels[rows]],
        probabilities,
        tuple(classes),
        None if labelled.groups is None else labelled.groups[rows],
        labelled.split[rows],
        table.answers_only,
    )


def _unpredictable(
    labelled: Labelled, rows: npt.NDArray[np.int64], classes: Sequence[str], table: PredictionTable
) -> list[Problem]:
    """Report classes of the labels that the table has no scores for, and of the table that are not declared."""
    remedy = "Rename classes with --label-map.OLD NEW, or declare them with --classes."
    counts = np.bincount(labelled.labels[rows][labelled.labels[rows] >= 0], minlength=len(labelled.classes))
    problems = [
        Problem("class without scores", f"{count:,} images are of the class {name!r}, which has no column", remedy)
        for name, count in zip(labelled.classes, counts.tolist(), strict=True)
        if count and name not in table.classes
    ]
    problems += [
        Problem("undeclared class", f"the predictions have the class {name!r}, which --classes lacks", remedy)
        for name in table.classes
        if name not in classes
    ]
    return problems


def assess(predictions: Predictions, file: Path, form: TableFormat, *, ordinal: bool) -> EvaluationResult:
    """Return scores and calibration of predictions that another program made, as they are in a table."""
    answers = predictions.answers_only
    digest = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    program = OtherProgram(str(file.resolve()), digest, "answers" if answers else form.scores, ordinal)
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    rare = [] if answers else rare_classes(counts)
    return EvaluationResult(
        scores=Scores.of(predictions),
        calibration=None
        if answers
        else CalibrationResult(
            before=scored_calibration(
                predictions.labels, predictions.probabilities, predictions.groups, predictions.classes, rare
            )
        ),
        other_program=program,
    )


def refuse_options(options: Mapping[str, object]) -> None:
    """Refuse options that need the model itself. UsageError names them."""
    if given := [f"--{name.replace('_', '-')}" for name, value in options.items() if value]:
        raise UsageError(
            f"Expected no {' and '.join(given)} with `--predictions`: that needs the model that made them, or its validation split."
        )
