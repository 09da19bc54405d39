"""What the folder of a run holds, as far as it can be read: a report is made of a damaged or unfinished run too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.predictions import Predictions
from balanced_mixup.files import read_json
from balanced_mixup.training.recipe import Recipe, load_yaml, make_recipe
from balanced_mixup.training.run_folder import RunFolder

Content = TypeVar("Content")

PARTS = {"test": "held-out test", "val": "validation"}


@dataclass(frozen=True)
class RunContents:
    """A run; None for what is not there or cannot be read, and `missing` says why.

    Args:
        folder: Where it is.
        recipe: Its settings.
        part: The part of the data that the report is about: "test", or "val" where nothing was held out.
        images: A row for each image: image, label, group, split, digest.
        history: A row for each epoch.
        predictions, validation: For `part`, and for the validation part.
        scores: For `part`; see `Predictions.scores`.
        environment: Versions, device, seed.
        missing: A sentence for each thing that is missing.
    """

    folder: RunFolder
    recipe: Recipe
    part: str
    images: pd.DataFrame | None
    history: pd.DataFrame | None
    predictions: Predictions | None
    validation: Predictions | None
    scores: Mapping[str, Any] | None
    environment: Mapping[str, Any] | None
    missing: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in their order. UsageError where nothing in the run tells them."""
        if self.predictions is not None:
            return self.predictions.classes
        if self.folder.model.is_file():
            return tuple(read_json(self.folder.model).get("classes", ()))
        raise UsageError("The run does not say what its classes are: it has neither predictions nor model.json.")

    def counts(self, part: str) -> npt.NDArray[np.int64]:
        """Return the images of each class in a part of the data, int64 (K,). UsageError where manifest.csv is missing."""
        table = require(self.images, "the list of its images (manifest.csv)")
        counts = table.loc[table["split"] == part, "label"].value_counts()
        return np.array([counts.get(name, 0) for name in self.classes], dtype=np.int64)


def _images(file: Path) -> pd.DataFrame:
    return _with_columns(pd.read_csv(file, dtype=str, keep_default_na=False), "image", "label", "split", "digest")


def _history(file: Path) -> pd.DataFrame:
    return _with_columns(pd.read_csv(file), "epoch", "learning_rate", "train_loss", "balanced_accuracy")


def _with_columns(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    lacking = [name for name in names if name not in table]
    if lacking or table.empty:
        raise ValueError(f"it has no {', '.join(lacking) or 'rows'}")
    return table


def require(content: Content | None, what: str) -> Content:
    """Return `content`; UsageError where it is None."""
    if content is None:
        raise UsageError(f"The run lacks {what}.")
    return content


def read_run(path: Path) -> RunContents:
    """Read what there is of a run.

    Raises:
        UsageError: It is no folder of a run, or its recipe cannot be read.
    """
    folder = RunFolder(path)
    if not folder.recipe.is_file():
        raise UsageError(f"Expected {str(path)!r} to be the folder of a run, but it has no {folder.recipe.name}.")
    recipe = make_recipe(load_yaml(folder.recipe))
    missing: list[str] = []

    def attempt(file: Path, read: Callable[[Path], Content]) -> Content | None:
        try:
            return read(file)
        except (UsageError, OSError, ValueError, KeyError) as error:
            reason = f"{file.name} is missing" if not file.exists() else f"{file.name} cannot be read: {error}"
            missing.append(reason if reason.endswith(".") else f"{reason}.")
            return None

    predictions = attempt(folder.predictions, Predictions.read)
    part = "test" if predictions is None or (predictions.split == "test").any() else "val"
    scores = attempt(folder.metrics, lambda file: read_json(file)[part])
    return RunContents(
        folder=folder,
        recipe=recipe,
        part=part,
        images=attempt(folder.manifest, _images),
        history=attempt(folder.history, _history),
        predictions=None if predictions is None else predictions.part(part),
        validation=None if predictions is None else predictions.part("val"),
        scores=scores,
        environment=attempt(folder.environment, read_json),
        missing=tuple(missing),
    )
