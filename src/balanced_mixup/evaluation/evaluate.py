"""Score a trained classifier on data that it has not seen."""

import json
import logging
from collections.abc import Mapping
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
from balanced_mixup.evaluation.other_data import choose, like_run, warn_of_shared_groups
from balanced_mixup.files import write_atomically, write_json
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.recipe import load_yaml, make_recipe, make_settings

log = logging.getLogger("balanced_mixup")


def predict_part(classifier: Classifier, prepared: Prepared, rows: npt.NDArray[np.int64], *, flip: bool = True) -> Predictions:
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
) -> dict[str, Any]:
    """Score a run and keep scores and predictions.

        evaluate("runs/mine")                                                     # what the run held out
        evaluate("runs/mine", data="other.csv", label_column="dx", label_map={"nv": "naevus"})
        evaluate("runs/mine", prior="uniform", sensitivity={"melanoma": 0.95})

    Args:
        run: Folder of a finished run.
        split: "train", "val", "test" or "all"; the test part where the data have one, else all, if not given.
        allow_seen: Score images that the run was trained on too.
        flip: Average over each image and its mirror image.
        out: Where predictions.parquet and metrics.json go; a folder in the run's `evaluations` if not given.
        prior: Class shares that the probabilities are corrected to before they are scored: "train", "uniform", "estimate" (from
            the images that are scored), or a CSV file with the columns class and share. Scores are of the probabilities as the
            model gave them where None, and those are what is kept in any case.
        sensitivity: For a class, the share of its cases that a threshold is to find. It is chosen on the run's validation part.
        settings: Fields of `DataSettings` for other data, whose classes are those of the run. Column names and label map not
            given are the run's. None for the part that the run itself held out.

    Returns:
        As `Assessment.of`, with "run", "data", "split", "flip" (of other data), and "folder": where scores and predictions are
        kept, None where they are the run's own.

    Raises:
        UsageError: The run is not finished, the part does not exist, its images were trained on, or `out` holds a run.
        DataError: Something is wrong with the data.
    """
    folder = RunFolder(Path(run)).require_finished()
    if out is not None and RunFolder(Path(out)).recipe.exists():
        raise UsageError(f"Expected `out` to be another folder than a run's, but {str(out)!r} holds a run.")
    if not settings:
        return _rescore(folder, split or "test", allow_seen, flip, out, prior, sensitivity)
    assessment = Assessment.plan(folder, prior, sensitivity)
    classifier = Classifier.load(run)
    recipe = make_recipe(load_yaml(folder.recipe))
    chosen = like_run(make_settings(settings), recipe, classifier.card.classes, ordinal=classifier.card.ordinal)
    prepared = prepare(load(chosen), classifier.card.size, exclude_bad=chosen.exclude_bad)
    rows, part = choose(prepared.manifest, split)
    _refuse_seen(folder, prepared, rows, allow_seen)
    predictions = predict_part(classifier, prepared, rows, flip=flip)
    data = str(Path(chosen.data).resolve()) if Path(chosen.data).exists() else chosen.data
    asked = {"run": str(folder.path.resolve()), "data": data, "split": part, "flip": flip}
    result = {**asked, **assessment.of(predictions)}
    files = {
        name: path and str(path.resolve()) for name, path in (("images", chosen.images), ("split_file", chosen.split_file))
    }
    kept = {**result, "settings": {**chosen.model_dump(mode="json"), "data": data, **files}}
    target = Path(out) if out is not None else _folder_for(folder, kept)
    _keep(target, predictions, kept)
    result["folder"] = str(target)
    write_excluded(prepared, target / "excluded.csv")
    return result


def write_excluded(prepared: Prepared, path: Path) -> None:
    """Write down which images were left out, and why; nothing where none was."""
    if prepared.excluded:
        table = pd.DataFrame(prepared.excluded, columns=["image", "problem"])
        write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))


def _keep(target: Path, predictions: Predictions, result: dict[str, Any]) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        predictions.write(target / "predictions.parquet")
        write_json(target / "metrics.json", result)
    except OSError as error:
        raise RunError(f"The scores could not be written to {str(target)!r}: {error}.") from error
    log.info("Scores and predictions are in %s.", target)


def _folder_for(folder: RunFolder, result: Mapping[str, Any]) -> Path:
    """Return the folder of a result: the one that what was asked had before, or a new one."""
    name, number = f"{Path(result['data']).stem}-{result['split']}", 1
    while True:
        path = folder.path / "evaluations" / (name if number == 1 else f"{name}-{number}")
        try:
            before = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return path
        if _asked(before) == _asked(result):
            return path
        number += 1


def _asked(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what was asked for: the data and how to read them, their part, mirrored too, class shares, sensitivities."""
    # Results of older versions lack what could not be asked for then.
    prior, thresholds = result.get("prior"), result.get("thresholds", {})
    wanted = {name: row["wanted"] for name, row in thresholds.items()}
    return (
        result.get("settings"),
        result.get("split"),
        result.get("flip", True),
        None if prior is None else prior["name"],
        wanted,
    )


def _rescore(
    folder: RunFolder,
    split: str,
    allow_seen: bool,
    flip: bool,
    out: Path | str | None,
    prior: str | None,
    sensitivity: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Score the predictions that the run has kept; no image is opened."""
    if allow_seen or not flip:
        raise UsageError("Expected `--data` beside `--allow-seen` and `--no-flip`: the run's own predictions are made already.")
    predictions = Predictions.read(folder.predictions)
    part = predictions.part(split)
    if not part.images:
        kept = ", ".join(name for name in SPLITS if (predictions.split == name).any())
        raise UsageError(
            f"The run in {str(folder.path)!r} kept no predictions for the part {split!r}, only for: {kept}. "
            "Name other data with `--data`."
        )
    if sensitivity and split == "val":
        raise UsageError("Expected another part than 'val' beside `sensitivity`: thresholds are chosen on the validation part.")
    assessment = Assessment.plan(folder, prior, sensitivity)
    result = {"run": str(folder.path.resolve()), "data": None, "split": split, **assessment.of(part)}
    if out is not None:
        _keep(Path(out), part, result)
    return {**result, "folder": None if out is None else str(out)}


def _refuse_seen(folder: RunFolder, prepared: Prepared, rows: npt.NDArray[np.int64], allow_seen: bool) -> None:
    """Scores on images of the training or validation part would be too good."""
    try:
        trained = pd.read_csv(folder.manifest, dtype=str, keep_default_na=False)
        trained = trained[trained["split"].isin(("train", "val"))]
        digests, groups = set(trained["digest"]), set(trained["group"]) - {""}
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"The run's {folder.manifest.name} is missing or damaged ({error}): what it was trained on is unknown."
        ) from None
    seen = [row for row in rows if prepared.digests[row] in digests]
    if seen and not allow_seen:
        raise UsageError(
            f"{len(seen)} of the {len(rows)} images to score were used to train this run, the first is "
            f"{prepared.manifest.images.names[seen[0]]!r}: scores on them would be too good. Leave them out, score the part "
            "that the run held out (`bmixup evaluate RUN`, without --data), or add `--allow-seen`."
        )
    warn_of_shared_groups(prepared.manifest, rows, groups)
