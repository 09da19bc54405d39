"""Predictions of another program: matched with labels, and scored like those of a run."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.class_prior import rare_classes
from balanced_mixup.calibration.scores import CalibrationScores
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.sources.label_names import UNUSED_RENAME, sorted_classes
from balanced_mixup.data.sources.text_table import TextTable, read_table
from balanced_mixup.errors import DataError, Problem, UsageError, describe
from balanced_mixup.evaluation.name_matching import UNKNOWN_IMAGE, Match, match_names
from balanced_mixup.evaluation.other_data import choose_rows, with_absolute_places
from balanced_mixup.evaluation.prediction_table import PredictionTable, parse_predictions
from balanced_mixup.evaluation.table_format import TableFormat
from balanced_mixup.runs.evaluation import CalibrationResult, EvaluationResult, OtherProgram
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores
from balanced_mixup.training.recipe import make_settings
from balanced_mixup.words import counted

log = logging.getLogger("balanced_mixup")

_MISSING = "Predict these images too, correct their names, or leave them out with --exclude-bad."
_RENAME = "Rename classes with --label-map.OLD NEW, or declare them with --classes."


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

    def only_scored(self) -> "Labelled":
        """Return the images that are scored alone; others are unknown then."""
        rows = self.scored
        return replace(
            self,
            names=[self.names[row] for row in rows],
            labels=self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
            split=self.split[rows],
            scored=np.arange(len(rows)),
        )

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


def evaluate_table(
    file: Path,
    run: Path | str | None,
    split: str | None,
    form: TableFormat,
    settings: Mapping[str, Any],
    name: str | None = None,
) -> tuple[Predictions, EvaluationResult]:
    """Score a table of predictions on the images of a run, or on other labels.

    Args:
        file: The table.
        run: Folder of a run whose stored images and labels are scored.
        split: Of the run or the data; see `balanced_mixup.evaluate`.
        form: What the columns of the table are.
        settings: Of the labels (`DataSettings`); with a run only `label_map` and `exclude_bad`.
        name: What the predictions are called in reports.

    Raises:
        UsageError: There are no labels, or no predictions of their classes.
        DataError: Something is wrong with the labels or the predictions; lists all of it.
    """
    chosen = make_settings(settings)
    if run is not None:
        if others := sorted(chosen.model_fields_set - {"label_map", "exclude_bad"}):
            raise UsageError(
                f"Expected the folder of a run, whose images are scored, or other data, but got both ({', '.join(others)})."
            )
        opened, scored = Run.open(run), split or "test"
        labelled, home, data, stored = Labelled.of_run(opened, scored), str(opened.path.resolve()), None, None
    else:
        if "data" not in chosen.model_fields_set:
            raise UsageError(
                "Expected `--data` with the labels, or the folder of a run whose images are scored, but got neither."
            )
        labelled, scored = Labelled.of_data(chosen, split)
        stored = with_absolute_places(chosen)
        home, data = "", stored["data"]
    predictions, excluded = match_table(labelled, read_predictions(file, labelled, form, chosen), chosen)
    result = assess(predictions, file, form, name, ordinal=labelled.ordinal)
    return predictions, replace(result, run=home, data=data, split=scored, settings=stored, excluded=excluded)


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


def match_table(
    labelled: Labelled, table: PredictionTable, settings: DataSettings, *, may_have_others: bool = False
) -> tuple[Predictions, tuple[tuple[str, str], ...]]:
    """Match predictions with labels.

    Args:
        labelled: The labels.
        table: The predictions.
        settings: `classes` is their order, if given; with `exclude_bad`, images that have a problem are left out.
        may_have_others: The table is expected to have other images, too, of which nothing is said.

    Returns:
        The predictions, and the names of images that were left out, each with its problems.

    Raises:
        DataError: Labels or predictions are missing or invalid, or an image is predicted twice; lists all of it.
    """
    classes = _classes(labelled, table, settings)
    match = match_names(labelled.names, table.names, table.where)
    problems = _problems(labelled, table, match, classes)
    if may_have_others:
        problems = [problem for problem in problems if problem.kind != UNKNOWN_IMAGE]
    fatal = [problem for problem in problems if problem.fatal]
    reasons: dict[int, list[str]] = {}
    for problem in fatal:
        for row in problem.rows:
            reasons.setdefault(row, []).append(f"{problem.kind}: {problem.message}")
    rows = np.array([row for row in labelled.scored.tolist() if row not in reasons], np.int64)
    if fatal and not (settings.exclude_bad and all(problem.rows for problem in fatal) and len(rows)):
        raise DataError(problems)
    if warnings := [problem for problem in problems if not problem.fatal]:
        log.warning("%s", describe(warnings, examples=3))
    if reasons:
        log.warning("Left out %d of %d images that have a problem.", len(labelled.scored) - len(rows), len(labelled.scored))
    for sentence in (*match.how, *table.remarks):
        log.info("Predictions: %s.", sentence)
    position = {name: k for k, name in enumerate(classes)}
    probabilities = np.zeros((len(rows), len(classes)), np.float32)
    probabilities[:, [position[name] for name in table.classes]] = table.probabilities[match.rows[rows]]
    of_class = np.array([position[name] for name in labelled.classes], np.int64)
    predictions = Predictions(
        tuple(labelled.names[row] for row in rows),
        of_class[labelled.labels[rows]],
        probabilities,
        classes,
        None if labelled.groups is None else labelled.groups[rows],
        labelled.split[rows],
        table.answers_only,
    )
    return predictions, tuple((labelled.names[row], "; ".join(texts)) for row, texts in reasons.items())


def _classes(labelled: Labelled, table: PredictionTable, settings: DataSettings) -> tuple[str, ...]:
    """Return the classes of labels and predictions in their order."""
    names = list(dict.fromkeys((*labelled.classes, *table.classes)))
    if settings.classes is not None or len(names) == len(labelled.classes):
        return labelled.classes
    return sorted_classes(names)


def _problems(labelled: Labelled, table: PredictionTable, match: Match, classes: Sequence[str]) -> list[Problem]:
    """Return the problems of the images that are scored, `rows` among the N; without rows where they are of both tables."""
    # Problems of the labels alone: they may be of one class, and a name may be that of a column or an answer.
    ignored = {UNUSED_RENAME, *(["too few classes"] if len(classes) > 1 else [])}
    scored = set(labelled.scored.tolist())
    problems = [
        problem
        for problem in labelled.problems
        if problem.kind not in ignored and (not problem.rows or scored.intersection(problem.rows))
    ]
    image_of = {row: image for image, row in enumerate(match.rows.tolist()) if image in scored}
    for problem in table.problems:
        images = tuple(image_of[row] for row in problem.rows if row in image_of)
        problems += [replace(problem, rows=images)] * bool(images)
    problems += [replace(problem, rows=()) for problem in match.problems]
    problems += [
        Problem("image without a prediction", f"{labelled.names[row]}: not among the predictions", _MISSING, (row,))
        for row in labelled.scored.tolist()
        if match.rows[row] < 0
    ]
    labels = labelled.labels[labelled.scored]
    counts = np.bincount(labels[labels >= 0], minlength=len(labelled.classes)).tolist()
    problems += [
        Problem("class without scores", f"{counted(count, 'image')} of the class {name!r}, which has no column", _RENAME)
        for name, count in zip(labelled.classes, counts, strict=True)
        if count and name not in table.classes
    ]
    problems += [
        Problem("undeclared class", f"the predictions have the class {name!r}, which --classes lacks", _RENAME)
        for name in table.classes
        if name not in classes
    ]
    return problems


def assess(
    predictions: Predictions, file: Path, form: TableFormat, name: str | None = None, *, ordinal: bool
) -> EvaluationResult:
    """Return scores and calibration of predictions that another program made.

    Args:
        predictions: Matched with labels.
        file: The table that they are from.
        form: What its columns are.
        name: What they are called in reports; the name of the file if not given.
        ordinal: The classes are ordinal.
    """
    answers = predictions.answers_only
    digest = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    program = OtherProgram(name or file.stem, str(file.resolve()), digest, "answers" if answers else form.scores, ordinal)
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    rare = [] if answers else rare_classes(counts)
    return EvaluationResult(
        scores=Scores.of(predictions),
        calibration=None
        if answers
        else CalibrationResult(
            CalibrationScores.of(predictions.labels, predictions.probabilities, predictions.groups, predictions.classes, rare)
        ),
        other_program=program,
    )


def refuse_options(options: Mapping[str, object]) -> None:
    """Refuse options that need the model itself. UsageError names them."""
    if given := [f"--{name.replace('_', '-')}" for name, value in options.items() if value]:
        raise UsageError(
            f"Expected no {' and '.join(given)} with `--predictions`: that needs the model that made them, or its validation "
            "split."
        )
