"""Score a trained classifier on unseen data."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.data.preparation import Prepared, prepare
from balanced_mixup.data.sources import load
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.evaluation.assessment import Assessment
from balanced_mixup.evaluation.other_data import choose_rows, warn_of_shared_groups, with_run_defaults
from balanced_mixup.files import write_atomically
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.evaluation import Evaluation, EvaluationResult
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.formats import NewerFormatError
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.recipe import make_settings

log = logging.getLogger("balanced_mixup")

_WRITING_SECONDS = 60.0  # at most, in which another process writes an evaluation


def predict_rows(classifier: Classifier, prepared: Prepared, rows: npt.NDArray[np.int64], *, flip: bool = True) -> Predictions:
    """Return the predictions for some rows of prepared data."""
    manifest = prepared.manifest
    return Predictions(
        tuple(manifest.images.names[row] for row in rows),
        manifest.labels[rows],
        classifier.probabilities(prepared.pixels, rows, flip=flip),
        manifest.classes,
        None if manifest.groups is None else manifest.groups[rows],
        np.full(len(rows), "all") if manifest.split is None else manifest.split[rows],
    )


def evaluate(
    run: Path | str,
    *,
    split: str | None = None,
    allow_seen: bool = False,
    flip: bool = True,
    out: Path | str | None = None,
    prior: str | None = None,
    sensitivity: Mapping[str, float] | None = None,
    **settings: Any,
) -> EvaluationResult:
    """Score a run and store scores and predictions.

        evaluate("runs/mine")                                                     # the held-out test split
        evaluate("runs/mine", data="other.csv", label_column="dx", label_map={"nv": "naevus"})
        evaluate("runs/mine", prior="uniform", sensitivity={"melanoma": 0.95})

    Args:
        run: Folder of a finished run.
        split: "train", "val", "test" or "all"; if not given the test split, or all images if there is none.
        allow_seen: Also score images that the run was trained on.
        flip: Average over each image and its mirror image.
        out: Where predictions.parquet and metrics.json go; a folder in the run's `evaluations` if not given.
        prior: Class prior that the probabilities are corrected to before they are scored: "train", "uniform", "estimate" (from
            the scored images), or a CSV file with the columns class and share. Without it the scores are of the uncorrected
            probabilities, which are stored in any case.
        sensitivity: By class, the target sensitivity of a threshold, which is chosen on the run's validation split.
        settings: Fields of `DataSettings` for other data, whose classes are those of the run. Column names and label map
            default to the run's. None for the run's own held-out split.

    Raises:
        UsageError: The run is not finished, the split does not exist, its images were trained on, or `out` holds a run.
        DataError: Something is wrong with the data.
        ChangedFileError: The run has been changed since it was written (see `Run.verify`).
    """
    folder = RunFolder(Path(run)).require_finished()
    opened = Run.open(run)
    if out is not None and RunFolder(Path(out)).recipe.exists():
        raise UsageError(f"Expected `out` to be another folder than a run's, but {str(out)!r} holds a run.")
    if not settings:
        return _rescore(opened, split or "test", allow_seen, flip, out, prior, sensitivity)
    assessment = Assessment.plan(opened, prior, sensitivity)
    classifier = Classifier.load(run)
    chosen = with_run_defaults(make_settings(settings), opened.recipe, classifier.card.classes, ordinal=classifier.card.ordinal)
    prepared = prepare(load(chosen), classifier.card.size, exclude_bad=chosen.exclude_bad)
    rows, chosen_split = choose_rows(prepared.manifest, split)
    _refuse_seen(opened, prepared, rows, allow_seen)
    predictions = predict_rows(classifier, prepared, rows, flip=flip)
    data = str(Path(chosen.data).resolve()) if Path(chosen.data).exists() else chosen.data
    files = {
        name: path and str(path.resolve()) for name, path in (("images", chosen.images), ("split_file", chosen.split_file))
    }
    result = replace(
        assessment.of(predictions),
        run=str(folder.path.resolve()),
        data=data,
        split=chosen_split,
        flip=flip,
        settings={**chosen.model_dump(mode="json"), "data": data, **files},
    )
    place = Path(out) if out is not None else folder.own(folder.path / "evaluations")
    with locked(place, wait=_WRITING_SECONDS):
        target = place if out is not None else _folder_for(folder, result)
        _write_result(target, predictions, result)
        write_excluded(prepared, target / "excluded.csv")
    return replace(result, folder=target)


def write_excluded(prepared: Prepared, path: Path) -> None:
    """Write which images were excluded, and why; nothing if none were."""
    if prepared.excluded:
        table = pd.DataFrame(prepared.excluded, columns=["image", "problem"])
        write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))


def _write_result(target: Path, predictions: Predictions, result: EvaluationResult) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        predictions.write(target / "predictions.parquet")
        result.write(target)
    except OSError as error:
        raise RunError(f"The scores could not be written to {str(target)!r}: {error}.") from error
    log.info("Scores and predictions are in %s.", target)


def _folder_for(folder: RunFolder, result: EvaluationResult) -> Path:
    """Return the folder of an evaluation: that of an earlier one with the same arguments, or a new one."""
    name, number = f"{Path(result.data or '').stem}-{result.split}", 1
    while True:
        path = folder.own(folder.path / "evaluations" / (name if number == 1 else f"{name}-{number}"))
        number += 1
        try:
            if _arguments(Evaluation.open(path).stored) == _arguments(result):
                return path
        except NewerFormatError:
            continue  # not to be overwritten
        except UsageError:
            return path


def _arguments(result: EvaluationResult) -> tuple[Any, ...]:
    """Return the arguments of an evaluation: data and how to read them, split, flip, class prior, sensitivities."""
    wanted = {name: threshold.threshold.wanted for name, threshold in result.thresholds.items()}
    return result.settings, result.split, result.flip, result.prior and result.prior.name, wanted


def _rescore(
    run: Run,
    split: str,
    allow_seen: bool,
    flip: bool,
    out: Path | str | None,
    prior: str | None,
    sensitivity: Mapping[str, float] | None,
) -> EvaluationResult:
    """Score the run's stored predictions; no image is opened."""
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
    result = replace(assessment.of(predictions), run=str(run.path.resolve()), split=split)
    if out is None:
        return result
    with locked(Path(out), wait=_WRITING_SECONDS):
        _write_result(Path(out), predictions, result)
    return replace(result, folder=Path(out))


def _refuse_seen(run: Run, prepared: Prepared, rows: npt.NDArray[np.int64], allow_seen: bool) -> None:
    """Refuse images of the training or validation split: scores on them would be optimistic."""
    try:
        trained = run.images[run.images["split"].isin(("train", "val"))]
        digests, groups = set(trained["digest"]), set(trained["group"]) - {""}
    except KeyError as error:
        raise UsageError(f"The run's {run.folder.manifest.name} is damaged: it has no {error}.") from None
    seen = [row for row in rows if prepared.digests[row] in digests]
    if seen and not allow_seen:
        raise UsageError(
            f"{len(seen)} of the {len(rows)} images to score were used to train this run, the first is "
            f"{prepared.manifest.images.names[seen[0]]!r}: scores on them would be optimistic. Leave them out, score the "
            "held-out split (`bmixup evaluate RUN`, without --data), or add `--allow-seen`."
        )
    warn_of_shared_groups(prepared.manifest, rows, groups)
