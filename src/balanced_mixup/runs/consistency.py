"""Whether the files of a run belong together, as far as they show it themselves: also for runs without digests."""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from balanced_mixup.calibration.correction import Correction
from balanced_mixup.calibration.priors import fit_temperature
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.digests import ChangedFileError
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import read_scores
from balanced_mixup.settings_file import load_yaml

if TYPE_CHECKING:
    from balanced_mixup.runs.run import Run

_CLOSE = 1e-4  # scores computed on another machine
_SAME_FIT = 0.01  # of a temperature, likewise


def check_model(folder: RunFolder, card: ModelCard) -> None:
    """Raise ChangedFileError where a model is not that of the run's recipe, or its classes are not those of its results."""
    recipe, problems = load_yaml(folder.recipe), []
    if (said := (recipe.get("backbone"), recipe.get("size"))) != (card.backbone, card.size):
        problems.append(_other_model(card, *said))
    others = {}
    with suppress(UsageError):
        others[folder.predictions.name] = Predictions.classes_in(folder.predictions)
    with suppress(UsageError):
        others[folder.metrics.name] = next(tuple(scores.per_class) for scores in read_scores(folder.metrics).values())
    problems += [_different(card.classes, name, found) for name, found in others.items() if found != card.classes]
    raise_for(folder, problems)


def _other_model(card: ModelCard, backbone: object, size: object) -> str:
    return (
        f"the model is {card.backbone} at {card.size} px in model.json, but {backbone!s:.100} at {size!s:.20} px in recipe.yaml"
    )


def _different(classes: tuple[str, ...], name: str, found: tuple[str, ...]) -> str:
    listed = (", ".join(names[:20]) for names in (classes, found))
    return "the classes are {} in model.json, but {} in {}".format(*listed, name)


def raise_for(folder: RunFolder, problems: list[str]) -> None:
    """Raise ChangedFileError with all problems, if there are any."""
    if problems:
        raise ChangedFileError(
            f"The files of the run in {str(folder.path)!r} are not of one run: {'; '.join(problems)}. "
            "Restore the run from a copy."
        )


def contradictions_of_calibration(run: "Run", correction: Correction) -> Iterator[str]:
    """Yield, in a phrase each, what shows that a correction was not fitted on the validation split of a run."""
    with suppress(UsageError):  # a run can have been stripped of them
        if correction.classes != (classes := run.model.classes):
            yield _different(classes, run.folder.calibration.name, correction.classes)
    with suppress(UsageError):
        validation = run.predictions.in_split("val")
        fitted = fit_temperature(validation.labels, validation.probabilities)
        stored = correction.temperature if correction.fitted_temperature is None else correction.fitted_temperature
        if correction.images != len(validation) or not math.isclose(stored, fitted, rel_tol=_SAME_FIT):
            yield (
                f"calibration.json was fitted on other predictions ({correction.images:,} images, temperature {stored:.3f}) "
                f"than those of the run ({len(validation):,} images, temperature {fitted:.3f})"
            )
        elif correction.temperature != (1 if correction.temperature_note else stored):
            yield f"the temperature in calibration.json, {correction.temperature:.3f}, is not the one that was chosen there"


def contradictions(run: "Run") -> Iterator[str]:
    """Yield what two files of a finished run say differently, in a phrase each.

    Raises:
        UsageError: A file is missing or damaged.
    """
    card, predictions, recipe = run.model, run.predictions, run.recipe
    with suppress(UsageError):  # one that cannot be calibrated is scored all the same
        yield from contradictions_of_calibration(run, run.calibration)
    if (card.backbone, card.size) != (recipe.backbone, recipe.size):
        yield _other_model(card, recipe.backbone, recipe.size)
    if predictions.classes != card.classes:
        yield _different(card.classes, run.folder.predictions.name, predictions.classes)
    listed = dict(zip(run.images["image"], zip(run.images["label"], run.images["split"], strict=True), strict=True))
    labels = [predictions.classes[label] for label in predictions.labels]
    for image, *said in zip(predictions.images, labels, predictions.split.tolist(), strict=True):
        if listed.get(image) != tuple(said):
            yield f"the label or the split of {image!r:.200} differs between predictions.parquet and manifest.csv"
            break
    for split, scores in read_scores(run.folder.metrics).items():
        scored = predictions.in_split(split)
        if tuple(scores.per_class) != predictions.classes or scores.n != len(scored):
            yield f"the {split} scores in metrics.json are of other classes or of another number of images"
            continue
        for name, score in scores.metrics.items():
            if name in METRICS and not np.isclose(
                METRICS[name](scored.labels, scored.probabilities), score.value, atol=_CLOSE, rtol=0, equal_nan=True
            ):
                yield f"{METRICS[name].label} of the {split} split in metrics.json is not that of predictions.parquet"
                break
