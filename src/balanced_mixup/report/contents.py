"""The readable contents of a `Run` or an `Evaluation`; a damaged run has a report, too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError
from balanced_mixup.runs.evaluation import Evaluation, EvaluationResult
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores
from balanced_mixup.training.recipe import Recipe, load_yaml, make_recipe, make_settings

Content = TypeVar("Content")

_SPLITS = {"test": "the held-out test split of the data", "val": "the validation split of the data"}


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Scored predictions, of a run or of another program; None for what is missing or unreadable, the reason in `missing`.

    Args:
        ordinal: Whether the classes are ordinal, by the data or the settings.
        settings: Settings of the scored data.
        split: What is scored: "test", "val" without a test split, or "other" data.
        scored: A description of the split.
        images: See `Run.images`; None for another program, of which it is not known what it was trained on.
        predictions: The scored predictions.
        scores: The scores of `predictions`.
        evaluation: The result of an evaluation; None for the run itself.
        missing: A sentence for each missing item.
    """

    ordinal: bool
    settings: DataSettings
    split: str
    scored: str
    images: pd.DataFrame | None = None
    predictions: Predictions | None
    scores: Scores | None
    evaluation: EvaluationResult | None = None
    missing: tuple[str, ...] = ()

    @property
    def target(self) -> TargetPrior | None:
        """The class prior that an evaluation corrected to, if any."""
        return None if self.evaluation is None else self.evaluation.prior

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in their order. UsageError where the predictions are missing."""
        return require(self.predictions, "its predictions").classes

    def counts(self, split: str) -> npt.NDArray[np.int64]:
        """Return the run's images of each class in a split, int64 (K,). UsageError where manifest.csv is missing."""
        table = require(self.images, "the list of its images (manifest.csv)")
        counts = table.loc[table["split"] == split, "label"].value_counts()
        return np.array([counts.get(name, 0) for name in self.classes], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class RunContents(Contents):
    """A run and its scored predictions.

    Args:
        run: The run.
        recipe: Its settings.
        history: See `Run.history`.
        environment: See `Run.environment`.
        stored: The scored predictions without correction.
        validation: The predictions of the run's validation split.
    """

    run: Run
    recipe: Recipe
    history: pd.DataFrame | None
    environment: Mapping[str, object] | None
    stored: Predictions | None
    validation: Predictions | None

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.run.path

    @property
    def finished(self) -> bool:
        """Whether the run is trained: it has its weights or, if they were not kept, its scores."""
        return self.run.folder.weights.is_file() or self.run.finished

    @property
    def monitor(self) -> str:
        """The score that chose the epoch."""
        return self.recipe.monitored(self.ordinal)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in their order. UsageError where neither predictions nor model.json define them."""
        return self.run.classes if self.predictions is None else self.predictions.classes


def require(content: Content | None, what: str) -> Content:
    """Return `content`; UsageError where it is None."""
    if content is None:
        raise UsageError(f"The run lacks {what}.")
    return content


class _Reader:
    """Reads contents and records those that cannot be read."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def read(self, file: Path, get: Callable[[], Content]) -> Content | None:
        try:
            return get()
        except UsageError as error:
            reason = f"{file.name} cannot be read: {error}" if file.exists() else f"{file.name} is missing"
            self.missing.append(reason if reason.endswith(".") else f"{reason}.")
            return None

    def predictions(self, file: Path, get: Callable[[], Predictions]) -> Predictions | None:
        """Read predictions, excluding those that are not finite."""
        predictions = self.read(file, get)
        if predictions is None:
            return None
        usable = np.flatnonzero(np.isfinite(predictions.probabilities).all(axis=1))
        if lost := len(predictions) - len(usable):
            self.missing.append(
                f"{lost:,} of {len(predictions):,} predictions in {file.name} are not finite and were excluded."
            )
        return predictions.take(usable)


def read_run(path: Path) -> RunContents:
    """Read the contents of a run as far as possible.

    Raises:
        UsageError: It is not the folder of a run, or its recipe is not valid YAML.
    """
    run = Run.open(path)
    folder, reader = run.folder, _Reader()
    recipe = _recipe(run, reader.missing)
    predictions = reader.predictions(folder.predictions, lambda: run.predictions)
    split = "test" if predictions is None or (predictions.split == "test").any() else "val"
    scored = None if predictions is None else predictions.in_split(split)
    scores = reader.read(folder.metrics, lambda: run.scores)
    ordinal = bool(reader.read(folder.model, lambda: run.ordinal))
    return RunContents(
        run=run,
        recipe=recipe,
        ordinal=ordinal,
        settings=recipe,
        split=split,
        scored=_SPLITS[split],
        images=reader.read(folder.manifest, lambda: run.images),
        history=reader.read(folder.history, lambda: _history(run, recipe.monitored(ordinal))),
        environment=reader.read(folder.environment, lambda: run.environment),
        predictions=scored,
        stored=scored,
        validation=None if predictions is None else predictions.in_split("val"),
        scores=None if scores is None else scores.get(split),
        evaluation=None,
        missing=tuple(reader.missing),
    )


def read_other_program(path: Path) -> Contents:
    """Read an evaluation of predictions that another program made.

    Raises:
        UsageError: It is not the folder of one, or its result is damaged; or it is of a run's images, and the run is missing.
    """
    evaluation, reader = Evaluation.open(path), _Reader()
    result = evaluation.result
    if (program := result.other_program) is None:
        raise UsageError(f"Expected {str(path)!r} to be an evaluation of predictions of another program, but it is of a run.")
    return Contents(
        ordinal=program.ordinal,
        settings=evaluation.run.recipe if result.settings is None else make_settings(result.settings),
        split="other",
        scored=_described(result),
        predictions=reader.predictions(path / "predictions.parquet", lambda: evaluation.predictions),
        scores=result.scores,
        evaluation=result,
        missing=tuple(reader.missing),
    )


def _described(result: EvaluationResult) -> str:
    images = "all images" if result.split == "all" else f"the {result.split} split"
    return f"{images} of {Path(result.data or '').name or 'the data'}"


def read_evaluation(path: Path) -> RunContents:
    """Read an evaluation: its run, with the predictions and scores of the evaluation.

    Raises:
        UsageError: It is not the folder of an evaluation, its result is damaged, or its run is missing.
    """
    evaluation = Evaluation.open(path)
    contents, reader = read_run(evaluation.run.path), _Reader()
    result = evaluation.result
    predictions = stored = reader.predictions(path / "predictions.parquet", lambda: evaluation.predictions)
    if stored is not None and result.prior is not None:
        correction = reader.read(evaluation.run.folder.calibration, lambda: evaluation.run.calibration)
        corrected = None if correction is None else correction.apply(stored.probabilities, result.prior)
        predictions = None if corrected is None else replace(stored, probabilities=corrected)
    other = result.data is not None
    return replace(
        contents,
        settings=make_settings(result.settings or {"data": result.data}) if other else contents.recipe,
        split="other" if other else result.split,
        scored=_described(result),
        predictions=predictions,
        stored=stored,
        scores=result.scores,
        evaluation=result,
        missing=(*contents.missing, *reader.missing),
    )


def _recipe(run: Run, missing: list[str]) -> Recipe:
    """Read a recipe; settings unknown to this version are ignored."""
    try:
        return run.recipe
    except UsageError as error:
        stored = load_yaml(run.folder.recipe)
        missing.append(
            f"{run.folder.recipe.name} is of another version of this program; unknown settings were ignored: {error}"
        )
        return make_recipe({name: value for name, value in stored.items() if name in Recipe.model_fields})


def _history(run: Run, monitor: str) -> pd.DataFrame:
    if monitor not in run.history:
        raise UsageError(f"it has no {monitor}")
    return run.history
