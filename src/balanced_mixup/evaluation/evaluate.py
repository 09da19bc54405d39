"""Score a trained classifier on unseen data."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.frames import frames_as_files
from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.data.sources import load
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.files import write_text
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.formats import NewerFormatError
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.table_files import csv_text
from balanced_mixup.training.recipe import make_settings

# As in `experiment`, what computes is imported where it does.
if TYPE_CHECKING:
    import pandas as pd

    from balanced_mixup.data.preparation import Prepared
    from balanced_mixup.evaluation.subgroups import SubgroupColumns
    from balanced_mixup.evaluation.table_format import Scale
    from balanced_mixup.runs.classifier import Classifier
    from balanced_mixup.runs.evaluation import EvaluationResult
    from balanced_mixup.runs.predictions import Predictions
    from balanced_mixup.runs.run import Run
    from balanced_mixup.runs.subgroups import Subgroup

log = logging.getLogger("balanced_mixup")

_WRITING_SECONDS = 60.0  # at most, in which another process writes an evaluation


def predict_rows(classifier: Classifier, prepared: Prepared, rows: npt.NDArray[np.int64], *, flip: bool = True) -> Predictions:
    """Return the predictions for some rows of prepared data."""
    return predictions_of(prepared, rows, classifier.probabilities(prepared.pixels, rows, flip=flip))


def predictions_of(prepared: Prepared, rows: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32]) -> Predictions:
    """Return predictions for some rows of prepared data, given their probabilities (len(rows), K)."""
    from balanced_mixup.runs.predictions import Predictions

    manifest = prepared.manifest
    return Predictions(
        tuple(manifest.images.names[row] for row in rows),
        manifest.labels[rows],
        probabilities,
        manifest.classes,
        None if manifest.groups is None else manifest.groups[rows],
        np.full(len(rows), "all") if manifest.split is None else manifest.split[rows],
    )


def evaluate(
    run: Path | str | None = None,
    *,
    split: str | None = None,
    allow_seen: bool = False,
    flip: bool = True,
    out: Path | str | None = None,
    prior: str | None = None,
    sensitivity: Mapping[str, float] | None = None,
    subgroup_columns: Sequence[str] = (),
    predictions: Path | str | pd.DataFrame | None = None,
    name_column: str | None = None,
    prefix: str | None = None,
    prediction_column: str | None = None,
    scores: Scale = "probabilities",
    name: str | None = None,
    **settings: Any,
) -> EvaluationResult:
    """Score a run, or the predictions of another program, and store scores and predictions.

        evaluate("runs/mine")                                                     # the held-out test split
        evaluate("runs/mine", data="other.csv", label_column="dx", label_map={"nv": "naevus"})
        evaluate("runs/mine", prior="uniform", sensitivity={"melanoma": 0.95})
        evaluate(predictions="theirs.csv", data="labels.csv", label_column="dx")  # no image is opened
        evaluate("runs/mine", predictions="theirs.csv")                           # on the test split of the run

    Args:
        run: Folder of a finished run. With `predictions`, its images and labels are scored instead of `data`.
        split: "train", "val", "test" or "all"; if not given the test split, or all images if there is none.
        allow_seen: Also score images that the run was trained on.
        flip: Average over each image and its mirror image.
        out: Where predictions.parquet and metrics.json go; if not given a folder in `evaluations` of the run, or of `runs`.
        prior: Class prior that the probabilities are corrected to before they are scored: "train", "uniform", "estimate" (from
            the scored images), or a CSV file with the columns class and share. Without it the scores are of the uncorrected
            probabilities, which are stored in any case.
        sensitivity: By class, the target sensitivity of a threshold, which is chosen on the run's validation split.
        subgroup_columns: Columns of the table of the scored data, or of the run's, such as age and sex: scores of the images
            with each value (of many numbers: between the quartiles), and their differences from all others.
        predictions: A table that another program made, as a file or a data frame: a row per image, with a column for each class
            or one with the predicted class. Images are matched by name, see `evaluation.name_matching`.
        name_column, prefix, prediction_column, scores: What its columns are, see `evaluation.prediction_table`.
        name: What these predictions are called in reports; the name of the file if not given.
        settings: Fields of `DataSettings` for other data, whose classes are those of the run. Column names and label map
            default to the run's. None for the run's own held-out split. `data` may be a data frame.

    Raises:
        UsageError: The run is not finished, the split does not exist, its images were trained on, `out` holds a run, or the
            data lack a column.
        DataError: Something is wrong with the data, or predictions are missing, given twice or no probabilities.
        ChangedFileError: The run has been changed since it was written (see `Run.verify`).
    """
    if out is not None and RunFolder(Path(out)).recipe.exists():
        raise UsageError(f"Expected `out` to be another folder than a run's, but {str(out)!r} holds a run.")
    own = {"name_column": name_column, "prefix": prefix, "prediction_column": prediction_column}
    with frames_as_files({**settings, "predictions": predictions}) as (values, frames):
        table = values.pop("predictions")
        columns = None
        if subgroup_columns:
            from balanced_mixup.evaluation.subgroups import SubgroupColumns

            columns = SubgroupColumns.read(subgroup_columns, None if run is None else Path(run), values)
        if table is not None:
            from balanced_mixup.evaluation.other_predictions import evaluate_table, refuse_options
            from balanced_mixup.evaluation.table_format import make_format

            refuse_options({"allow_seen": allow_seen, "no_flip": not flip, "prior": prior, "sensitivity": sensitivity})
            found, result = evaluate_table(Path(table), run, split, make_format({**own, "scores": scores}), values, name)
        elif run is None:
            raise UsageError("Expected the folder of a run, or `--predictions` of another program, but got neither.")
        elif given := [name for name, value in own.items() if value is not None]:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UsageError(f"Expected `--predictions` with {flags}, which say how a table of predictions is read.")
        else:
            found, result = _evaluate_run(Path(run), split, allow_seen, flip, prior, sensitivity, values)
        if columns is not None:
            result = replace(result, subgroups=_subgroups(found, result, columns))
        if result.data is None and result.other_program is None and out is None and columns is None:
            return result  # the run has these predictions already
        home = RunFolder(Path(run or "runs"))
        with locked(Path(out) if out is not None else home.own(home.path / "evaluations"), wait=_WRITING_SECONDS):
            target = Path(out) if out is not None else _folder_for(home, result)
            return _write_result(target, found, result, frames)


def _subgroups(predictions: Predictions, result: EvaluationResult, columns: SubgroupColumns) -> tuple[Subgroup, ...]:
    """Return the scores of subgroups, of the probabilities that the result has scores of."""
    from balanced_mixup.evaluation.subgroups import subgroups
    from balanced_mixup.runs.run import Run

    if result.prior is not None:
        corrected = Run.open(result.run).calibration.apply(predictions.probabilities, result.prior)
        predictions = replace(predictions, probabilities=corrected)
    return subgroups(predictions, columns.of(predictions.images))


def _evaluate_run(
    run: Path,
    split: str | None,
    allow_seen: bool,
    flip: bool,
    prior: str | None,
    sensitivity: Mapping[str, float] | None,
    settings: Mapping[str, Any],
) -> tuple[Predictions, EvaluationResult]:
    """Score a run on its own data or on those of the settings."""
    folder = RunFolder(run)
    if settings or not (folder.recipe.is_file() and folder.metrics.is_file()):  # else its stored predictions are scored
        folder.require_finished()
    from balanced_mixup.evaluation.assessment import Assessment
    from balanced_mixup.evaluation.other_data import choose_rows, with_absolute_places, with_run_defaults
    from balanced_mixup.runs.run import Run

    opened = Run.open(run)
    if not settings:
        return _rescore(opened, split or "test", allow_seen, flip, prior, sensitivity)
    assessment = Assessment.plan(opened, prior, sensitivity)
    card = ModelCard.read(folder.model)
    chosen = with_run_defaults(make_settings(settings), opened.recipe, card.classes, ordinal=card.ordinal)
    manifest = load(chosen)
    from balanced_mixup.data.preparation import prepare
    from balanced_mixup.evaluation.seen import refuse_seen
    from balanced_mixup.runs.classifier import Classifier

    classifier = Classifier.load(run)
    prepared = prepare(manifest, card.size, exclude_bad=chosen.exclude_bad, near_copies=chosen.near_copies)
    rows, chosen_split = choose_rows(prepared.manifest, split)
    near = chosen.near_copies
    refuse_seen(opened, prepared, rows, allow_seen=allow_seen, near_copies=near, sensitivity=sensitivity)
    predictions = predict_rows(classifier, prepared, rows, flip=flip)
    stored = with_absolute_places(chosen)
    return predictions, replace(
        assessment.of(predictions),
        run=str(folder.path.resolve()),
        data=stored["data"],
        split=chosen_split,
        flip=flip,
        settings=stored,
        excluded=prepared.excluded,
    )


def write_excluded(excluded: Sequence[tuple[str, str]], path: Path) -> None:
    """Write which images were excluded, and why; nothing if none were."""
    if excluded:
        import pandas as pd

        table = pd.DataFrame(excluded, columns=["image", "problem"])
        write_text(path, csv_text(table))


def _write_result(target: Path, predictions: Predictions, result: EvaluationResult, frames: Sequence[Path]) -> EvaluationResult:
    """Write an evaluation to its folder, together with the data frames that it is of."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in frames:
            result = result.moved(file, shutil.copyfile(file, target.resolve() / file.name))
        predictions.write(target / "predictions.parquet")
        result.write(target)
        write_excluded(result.excluded, target / "excluded.csv")
    except OSError as error:
        raise RunError(f"The scores could not be written to {str(target)!r}: {error}.") from error
    log.info("Scores and predictions are in %s.", target)
    return replace(result, folder=target)


def _folder_for(home: RunFolder, result: EvaluationResult) -> Path:
    """Return the folder of an evaluation: that of an earlier one with the same arguments, or a new one."""
    from balanced_mixup.runs.evaluation import Evaluation

    scored = result.data or "" if result.other_program is None else result.other_program.file
    name, number = f"{Path(scored or 'own').stem}-{result.split}", 1
    while True:
        path = home.own(home.path / "evaluations" / (name if number == 1 else f"{name}-{number}"))
        number += 1
        try:
            if _arguments(Evaluation.open(path).stored) == _arguments(result):
                return path
        except NewerFormatError:
            continue  # not to be overwritten
        except UsageError:
            return path


def _arguments(result: EvaluationResult) -> tuple[Any, ...]:
    """Return the arguments of an evaluation.

    They are data and how to read them, split, flip, class prior, sensitivities, table, columns of subgroups.
    """
    wanted = {name: threshold.threshold.wanted for name, threshold in result.thresholds.items()}
    columns = {each.column for each in result.subgroups}
    # Whether near copies were looked for changes no score; evaluations of older versions do not say.
    settings = result.settings and {name: value for name, value in result.settings.items() if name != "near_copies"}
    prior = result.prior and result.prior.name
    return settings, result.split, result.flip, prior, wanted, result.other_program, columns


def _rescore(
    run: Run,
    split: str,
    allow_seen: bool,
    flip: bool,
    prior: str | None,
    sensitivity: Mapping[str, float] | None,
) -> tuple[Predictions, EvaluationResult]:
    """Score the run's stored predictions; no image is opened."""
    from balanced_mixup.evaluation.assessment import Assessment

    if allow_seen or not flip:
        raise UsageError("Expected `--data` with `--allow-seen` or `--no-flip`: the run's own predictions are stored already.")
    run.verify()
    predictions = run.predictions.in_split(split)
    if not len(predictions):
        kept = ", ".join(name for name in SPLITS if (run.predictions.split == name).any())
        raise UsageError(
            f"The run in {str(run.path)!r} has no predictions for the split {split!r}, only for: {kept}. "
            "To score other data, use `--data`."
        )
    if sensitivity and split == "val":
        raise UsageError("Expected another split than 'val' with `sensitivity`: thresholds are chosen on the validation split.")
    assessment = Assessment.plan(run, prior, sensitivity)
    return predictions, replace(assessment.of(predictions), run=str(run.path.resolve()), split=split)
