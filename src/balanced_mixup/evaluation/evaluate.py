"""Score a trained classifier on data that it has not seen."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.data.preparation import Prepared, prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.sources.table import read_table
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.evaluation.predictions import Predictions
from balanced_mixup.files import write_atomically, write_json
from balanced_mixup.training.classifier import Classifier, ModelCard
from balanced_mixup.training.recipe import Recipe, load_yaml, make_recipe, make_settings
from balanced_mixup.training.run_folder import RunFolder

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
    **settings: Any,
) -> dict[str, Any]:
    """Score a run and keep scores and predictions.

        evaluate("runs/mine")                                                     # what the run held out
        evaluate("runs/mine", data="other.csv", label_column="dx", label_map={"nv": "naevus"})

    Args:
        run: Folder of a finished run.
        split: "train", "val", "test" or "all"; the test part where the data have one, else all, if not given.
        allow_seen: Score images that the run was trained on too.
        flip: Average over each image and its mirror image.
        out: Where predictions.parquet and metrics.json go; a folder in the run's `evaluations` if not given.
        settings: Fields of `DataSettings` for other data, whose classes are those of the run. Column names and label map not
            given are the run's. None for the part that the run itself held out.

    Returns:
        As `Predictions.scores`, with "run", "data" and "split".

    Raises:
        UsageError: The run is not finished, the part does not exist, its images were trained on, or `out` holds a run.
        DataError: Something is wrong with the data.
    """
    folder = RunFolder(Path(run)).require_finished()
    if out is not None and RunFolder(Path(out)).recipe.exists():
        raise UsageError(f"Expected `out` to be another folder than a run's, but {str(out)!r} holds a run.")
    if not settings:
        return _rescore(folder, split or "test", allow_seen, flip, out)
    classifier = Classifier.load(run)
    chosen = _like_run(make_settings(settings), make_recipe(load_yaml(folder.recipe)), classifier.card)
    prepared = prepare(load(chosen), classifier.card.size, exclude_bad=chosen.exclude_bad)
    rows, part = _choose(prepared.manifest, split)
    _refuse_seen(folder, prepared, rows, allow_seen)
    predictions = predict_part(classifier, prepared, rows, flip=flip)
    data = str(Path(chosen.data).resolve()) if Path(chosen.data).exists() else chosen.data
    result = {"run": str(folder.path), "data": data, "split": part, **predictions.scores()}
    target = Path(out) if out is not None else _folder_for(folder, data, part)
    _keep(target, predictions, result)
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


def _folder_for(folder: RunFolder, data: str, part: str) -> Path:
    """Return the folder of these data and this part: the one it had before, or a new one."""
    name, number = f"{Path(data).stem}-{part}", 1
    while True:
        path = folder.path / "evaluations" / (name if number == 1 else f"{name}-{number}")
        try:
            before = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return path
        if before["data"] == data:
            return path
        number += 1


def _like_run(settings: DataSettings, recipe: Recipe, card: ModelCard) -> DataSettings:
    """Fill in what was not said from what the run was trained with: the meaning of labels and the names of columns."""
    if "data" not in settings.model_fields_set:
        raise UsageError(f"Expected `--data` beside {', '.join(sorted(settings.model_fields_set))}: name the data to score.")
    own = settings.model_fields_set & {"classes", "ordinal"}
    if own:
        raise UsageError(
            f"Expected no {' and '.join(sorted(own))} for `evaluate`: they are the run's, {', '.join(card.classes)}."
        )
    fields = ["image_column", "label_column"]
    if recipe.group_column in _header(settings.data):
        fields.append("group_column")
    update: dict[str, Any] = {name: getattr(recipe, name) for name in fields if name not in settings.model_fields_set}
    update |= {"classes": card.classes, "ordinal": card.ordinal, "label_map": {**recipe.label_map, **settings.label_map}}
    return settings.model_copy(update=update)


def _header(data: str) -> list[str]:
    """Return the column names if `data` is a table."""
    path = Path(data)
    return read_table(path).header if path.is_file() and path.suffix.lower() in (".csv", ".tsv") else []


def _rescore(folder: RunFolder, split: str, allow_seen: bool, flip: bool, out: Path | str | None) -> dict[str, Any]:
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
    result = {"run": str(folder.path), "data": None, "split": split, **part.scores()}
    if out is not None:
        _keep(Path(out), part, result)
    return result


def _choose(manifest: Manifest, split: str | None) -> tuple[npt.NDArray[np.int64], str]:
    has_test = manifest.split is not None and (manifest.split == "test").any()
    split = split or ("test" if has_test else "all")
    if split == "all":
        return np.arange(len(manifest)), split
    rows = manifest.rows(split)
    if not len(rows):
        raise UsageError(f"Expected data with a part {split!r}, but they give no image to it; `--split all` takes them whole.")
    return rows, split


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
    if prepared.manifest.groups is not None:
        shared = groups & set(prepared.manifest.groups[rows].tolist())
        if shared:
            log.warning(
                "%d groups occur under the same name in the training data (such as %r). If they are the same patients, these "
                "scores are too good.",
                len(shared),
                min(shared),
            )
