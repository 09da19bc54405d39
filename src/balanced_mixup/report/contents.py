"""What the folder of a run or of an evaluation holds, as far as it can be read: a damaged run has a report too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError
from balanced_mixup.files import read_json
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.recipe import Recipe, load_yaml, make_recipe, make_settings

Content = TypeVar("Content")

_OF_CLASS = ("recall", "precision")
_PARTS = {"test": "the held-out test part of the data", "val": "the validation part of the data"}


@dataclass(frozen=True)
class RunContents:
    """A run with what was scored; None for what is not there or cannot be read, and `missing` says why.

    Args:
        folder: Where the run is.
        recipe: Its settings.
        finished: Whether it has its weights.
        ordinal: Whether its classes are grades: its data may say so, where its settings do not.
        settings: Where the scored images are.
        part: What was scored: "test", "val" where nothing was held out, or "other" data.
        scored: The same in words.
        images: A row for each image of the run: image, label, group, split, digest.
        history: A row for each epoch.
        predictions: What the scores are of.
        stored: The same as the model gave them, without a correction.
        validation: Those of the run's validation part.
        scores: See `Predictions.scores`.
        evaluation: What an evaluation asked for and found besides; None for the run itself. See `Assessment.of`.
        target: The class shares that it corrected to, if any.
        environment: Versions, device, seed.
        missing: A sentence for each thing that is missing.
    """

    folder: RunFolder
    recipe: Recipe
    finished: bool
    ordinal: bool
    settings: DataSettings
    part: str
    scored: str
    images: pd.DataFrame | None
    history: pd.DataFrame | None
    predictions: Predictions | None
    stored: Predictions | None
    validation: Predictions | None
    scores: Mapping[str, Any] | None
    evaluation: Mapping[str, Any] | None
    target: TargetPrior | None
    environment: Mapping[str, Any] | None
    missing: tuple[str, ...]

    @property
    def monitor(self) -> str:
        """The score that chose the epoch."""
        return self.recipe.monitored(self.ordinal)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in their order. UsageError where nothing in the run tells them."""
        if self.predictions is not None:
            return self.predictions.classes
        if self.folder.model.is_file():
            return tuple(read_json(self.folder.model).get("classes", ()))
        raise UsageError("The run does not say what its classes are: it has neither predictions nor model.json.")

    def counts(self, part: str) -> npt.NDArray[np.int64]:
        """Return the run's images of each class in a part, int64 (K,). UsageError where manifest.csv is missing."""
        table = require(self.images, "the list of its images (manifest.csv)")
        counts = table.loc[table["split"] == part, "label"].value_counts()
        return np.array([counts.get(name, 0) for name in self.classes], dtype=np.int64)


def require(content: Content | None, what: str) -> Content:
    """Return `content`; UsageError where it is None."""
    if content is None:
        raise UsageError(f"The run lacks {what}.")
    return content


class _Reader:
    """Reads files and remembers what could not be read."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def read(self, file: Path, how: Callable[[Path], Content]) -> Content | None:
        try:
            return how(file)
        except (UsageError, OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{file.name} cannot be read: {error}" if file.exists() else f"{file.name} is missing"
            self.missing.append(reason if reason.endswith(".") else f"{reason}.")
            return None

    def predictions(self, file: Path) -> Predictions | None:
        """Read predictions, and leave out those that are no numbers."""
        found = self.read(file, Predictions.read)
        if found is None:
            return None
        usable = np.flatnonzero(np.isfinite(found.probabilities).all(axis=1))
        if lost := len(found.images) - len(usable):
            self.missing.append(f"{lost:,} of {len(found.images):,} predictions in {file.name} are no numbers and left out.")
        return found.at(usable)


def read_run(path: Path) -> RunContents:
    """Read what there is of a run.

    Raises:
        UsageError: It is no folder of a run, or its recipe cannot be read.
    """
    folder = RunFolder(path)
    if not folder.recipe.is_file():
        raise UsageError(f"Expected {str(path)!r} to be the folder of a run, but it has no {folder.recipe.name}.")
    reader = _Reader()
    recipe = _recipe(folder.recipe, reader.missing)
    predictions = reader.predictions(folder.predictions)
    part = "test" if predictions is None or (predictions.split == "test").any() else "val"
    scored = None if predictions is None else predictions.part(part)
    run = RunContents(
        folder=folder,
        recipe=recipe,
        finished=folder.weights.is_file(),
        ordinal=bool(reader.read(folder.model, lambda file: read_json(file)["ordinal"])),
        settings=recipe,
        part=part,
        scored=_PARTS[part],
        images=reader.read(folder.manifest, _images),
        history=None,
        predictions=scored,
        stored=scored,
        validation=None if predictions is None else predictions.part("val"),
        scores=reader.read(folder.metrics, lambda file: _scores(read_json(file)[part])),
        evaluation=None,
        target=None,
        environment=reader.read(folder.environment, read_json),
        missing=(),
    )
    history = reader.read(folder.history, lambda file: _history(file, run.monitor))
    return replace(run, history=history, missing=tuple(reader.missing))


def read_evaluation(path: Path) -> RunContents:
    """Read what `bmixup evaluate` has kept: a run with its predictions for other data.

    Raises:
        UsageError: It is no folder of an evaluation, or its run is gone.
    """
    result = read_json(path / "metrics.json")
    if not isinstance(result.get("run"), str):
        raise UsageError(f"Expected {str(path)!r} to be the folder of an evaluation, but its metrics.json names no run.")
    home = Path(result["run"])
    if not RunFolder(home).recipe.is_file() and path.resolve().parent.name == "evaluations":
        home = path.resolve().parent.parent  # the run was moved, with its evaluations
    run = read_run(home)
    reader = _Reader()
    stored = reader.predictions(path / "predictions.parquet")
    predictions, target = stored, None
    if stored is not None and result.get("prior"):
        prior = result["prior"]
        target = TargetPrior(prior["name"], np.array([prior["shares"][name]["value"] for name in stored.classes]))
        correction = reader.read(run.folder.calibration, lambda _: Correction.of(run.folder))
        if correction is None:
            predictions = None
        else:
            predictions = replace(stored, probabilities=correction.apply(stored.probabilities, target))
    data = result.get("data")
    part = "all images" if result.get("split") == "all" else f"the {result.get('split')} part"
    return replace(
        run,
        settings=run.recipe if data is None else make_settings(result.get("settings", {"data": data})),
        part="other" if data is not None else str(result.get("split")),
        scored=f"{part} of {'the data' if data is None else Path(data).name}",
        predictions=predictions,
        stored=stored,
        scores=reader.read(path / "metrics.json", lambda file: _scores(read_json(file))),
        evaluation=result,
        target=target,
        missing=(*run.missing, *reader.missing),
    )


def _recipe(file: Path, missing: list[str]) -> Recipe:
    """Read a recipe; of another version's, what this one knows."""
    stored = load_yaml(file)
    try:
        return make_recipe(stored)
    except UsageError as error:
        missing.append(
            f"{file.name} is of another version of this program, and what this one does not know is left out: {error}"
        )
        return make_recipe({name: value for name, value in stored.items() if name in Recipe.model_fields})


def _images(file: Path) -> pd.DataFrame:
    return _with_columns(pd.read_csv(file, dtype=str, keep_default_na=False), "image", "label", "split", "digest")


def _history(file: Path, monitor: str) -> pd.DataFrame:
    names = ("epoch", "learning_rate", "train_loss", "balanced_accuracy", monitor)
    table = _with_columns(pd.read_csv(file), *names)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in names})


def _scores(content: Any) -> dict[str, Any]:
    """Return scores, if they are as `Predictions.scores` makes them; KeyError or TypeError where not."""
    scores = {name: content[name] for name in ("n", "groups", "metrics", "per_class")}
    for score in (*scores["metrics"].values(), *(row[name] for row in scores["per_class"].values() for name in _OF_CLASS)):
        _ = score["value"], score["low"], score["high"]
    return scores


def _with_columns(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    lacking = [name for name in names if name not in table]
    if lacking or table.empty:
        raise ValueError(f"it has no {', '.join(lacking) or 'rows'}")
    return table
