"""A run, read from its folder: `Run.open("runs/mine")`."""

import math
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from balanced_mixup.calibration.correction import Correction
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.consistency import contradictions, contradictions_of_calibration, raise_for
from balanced_mixup.runs.digests import check_digest, read_digests
from balanced_mixup.runs.formats import CALIBRATION_FILE, COST_FILE, ENVIRONMENT_FILE, damaged, read_file, read_recipe
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import Scores, read_scores
from balanced_mixup.table_files import restored
from balanced_mixup.training.recipe import Recipe

if TYPE_CHECKING:
    from balanced_mixup.runs.classifier import Classifier

Content = TypeVar("Content")

_REFIT = "Delete the file to have it fitted again."


@dataclass(frozen=True)
class Cost:
    """The cost of a training: seconds, and peak memory of the process or GPU; since the last start, if it was `resumed`.

    base_seconds: Of the training of its method's base, None if there is none or it is not known; it is part of `seconds` unless
    it was `base_reused` from another run.
    """

    seconds: float
    memory_bytes: int | None
    resumed: bool
    base_seconds: float | None = None
    base_reused: bool = False

    @property
    def alone_seconds(self) -> float:
        """Seconds with the training of the base; NaN if that is not known."""
        if not self.base_reused:
            return self.seconds
        return math.nan if self.base_seconds is None else self.seconds + self.base_seconds

    @property
    def shared_seconds(self) -> float:
        """Seconds without the training of the base; NaN if there is none."""
        return math.nan if self.base_seconds is None else self.alone_seconds - self.base_seconds


class Run:
    """A run, read from its folder. Each file is read on first access, and nothing is written.

        run = Run.open("runs/mine")
        run.scores["test"].metrics["mcc"].value
        run.predictions.to_frame()
        run.classifier().probabilities(pixels)

    Properties raise UsageError where their file is missing, damaged, or of a newer version of the program, and ChangedFileError
    where it is not the one that was written with the run (see `verify`). Files of older versions are migrated when they are
    read, and scores that an older run lacks are computed from its predictions.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Use `Run.open`."""
        self.folder = folder

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the folder of a run, finished or not.

        Raises:
            UsageError: It is no folder of a run.
        """
        folder = RunFolder(Path(path))
        if not folder.recipe.is_file():
            raise UsageError(f"Expected {str(path)!r} to be the folder of a run, but it has no {folder.recipe.name}.")
        return cls(folder)

    def __repr__(self) -> str:
        """Return a one-line description."""
        return f"Run({str(self.path)!r}, {'finished' if self.finished else 'not finished'})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def finished(self) -> bool:
        """Whether it is trained and scored. (A benchmark may have deleted its weights.)"""
        return self.folder.metrics.is_file()

    @cached_property
    def recipe(self) -> Recipe:
        """All settings."""
        return self._unchanged(self.folder.recipe, read_recipe(self.folder.recipe))

    @cached_property
    def model(self) -> ModelCard:
        """What prediction needs besides the weights."""
        return self._unchanged(self.folder.model, ModelCard.read(self.folder.model))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self.model.classes

    @property
    def ordinal(self) -> bool:
        """Whether the classes are ordinal."""
        return self.model.ordinal

    @cached_property
    def images(self) -> pd.DataFrame:
        """A row for each image: image, label, group, split, digest."""
        columns = ("image", "label", "split", "digest")
        table = _with_columns(self.folder.manifest, *columns, dtype=str, keep_default_na=False)
        table = table.assign(**{name: table[name].map(restored) for name in ("image", "label", "group") if name in table})
        return self._unchanged(self.folder.manifest, table)

    @cached_property
    def left_out(self) -> dict[str, int]:
        """How many rows of the data were left out (with `exclude_bad`), by the kind of their first problem."""
        if not self.folder.excluded.is_file():
            return {}
        table = _with_columns(self.folder.excluded, "image", "problem", dtype=str, keep_default_na=False)
        kinds = table["problem"].map(restored).str.partition(":")[0]
        return {str(kind): int(count) for kind, count in kinds.value_counts().items()}

    @property
    def started(self) -> date | None:
        """The day on which the training was started, by its log; None where there is no log."""
        try:
            with self.folder.log.open(encoding="utf-8") as log:
                return date.fromisoformat(log.readline()[:10])
        except (OSError, ValueError):
            return None

    def counts(self, split: str = "train") -> npt.NDArray[np.int64]:
        """Return the images of each class in a split, int64 (K,)."""
        counts = self.images.loc[self.images["split"] == split, "label"].value_counts()
        return np.array([counts.get(name, 0) for name in self.classes], dtype=np.int64)

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row for each epoch: epoch, learning_rate, train_loss, and the validation metrics that were recorded."""
        table = _with_columns(self.folder.history, "epoch", "learning_rate", "train_loss")
        try:
            numbers = [name for name in ("epoch", "learning_rate", "train_loss", *METRICS) if name in table]
            table = table.assign(**{name: pd.to_numeric(table[name]) for name in numbers})
        except (ValueError, TypeError, OverflowError) as error:
            raise damaged(self.folder.history, error) from None
        return self._unchanged(self.folder.history, table)

    @cached_property
    def predictions(self) -> Predictions:
        """Predictions for the validation and the test split."""
        return self._unchanged(self.folder.predictions, Predictions.read(self.folder.predictions))

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """Scores of the validation and the test split; for metrics newer than the run computed from its predictions."""
        stored = self._unchanged(self.folder.metrics, read_scores(self.folder.metrics))
        return {name: scores.completed(partial(self._split, name)) for name, scores in stored.items()}

    def _split(self, name: str) -> Predictions:
        return self.predictions.in_split(name)

    @cached_property
    def calibration(self) -> Correction:
        """The stored correction of the probabilities; fitted on access for runs of versions that did not store it."""
        if self.folder.calibration.is_file():
            return self._stored_calibration()
        predictions = self.predictions
        labels = self.images.loc[self.images["split"] == "train", "label"]
        counts = np.array([(labels == name).sum() for name in predictions.classes])
        if not counts.any():
            raise UsageError(f"The run cannot be calibrated: {str(self.folder.manifest)!r} lists no training images.")
        validation = predictions.in_split("val")
        return Correction.fit(validation, validation.classes, self.recipe, counts)

    def _stored_calibration(self) -> Correction:
        file = self.folder.calibration
        content = read_file(file, CALIBRATION_FILE, _REFIT)
        try:
            correction = Correction.model_validate(content)
        except ValidationError as error:
            raise damaged(file, error, _REFIT) from None
        if not read_digests(self.folder):
            raise_for(self.folder, list(contradictions_of_calibration(self, correction)))
        return self._unchanged(file, correction)

    @cached_property
    def cost(self) -> Cost:
        """The cost of the training."""
        content = read_file(self.folder.cost, COST_FILE)
        try:
            base, reused = content.get("base_seconds"), bool(content.get("base_reused", False))
            base = None if base is None else float(base)
            cost = Cost(float(content["seconds"]), content.get("memory_bytes"), bool(content["resumed"]), base, reused)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged(self.folder.cost, error) from None
        return self._unchanged(self.folder.cost, cost)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions of the program and its dependencies, machine, seed, fingerprint of the data, git commit."""
        return self._unchanged(self.folder.environment, read_file(self.folder.environment, ENVIRONMENT_FILE))

    def _unchanged(self, file: Path, content: Content) -> Content:
        """Return the content of a file, once its digest has been compared."""
        check_digest(self.folder, file)
        return content

    def verify(self) -> tuple[str, ...]:
        """Compare all files with their digests and with each other.

        Returns:
            The names of the files whose digests were compared; none for a run of a version before digests.

        Raises:
            UsageError: The run is not finished, or a file is damaged.
            ChangedFileError: A file that decides about results has changed since the run was written, or two files contradict
                each other. A warning names other files that have changed.
        """
        if not self.folder.metrics.is_file():
            raise UsageError(f"The run in {str(self.path)!r} is not finished: there is nothing to compare.")
        files = tuple(name for name in read_digests(self.folder) if (self.path / name).is_file())
        check_digest(self.folder, *(self.path / name for name in files))
        raise_for(self.folder, list(contradictions(self)))
        return files

    def classifier(self, device: str | None = None) -> "Classifier":
        """Load the trained classifier; on a GPU if there is one, when no `device` is given."""
        from balanced_mixup.runs.classifier import Classifier

        return Classifier.load(self.path, device)


def _with_columns(path: Path, *names: str, **options: Any) -> pd.DataFrame:
    """Read a CSV that has at least these columns and a row."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        table: pd.DataFrame = pd.read_csv(path, **options)
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:  # of pandas, for odd texts
        raise damaged(path, error) from None
    if lacking := [name for name in names if name not in table]:
        raise damaged(path, f"it has no {', '.join(lacking)}")
    if table.empty:
        raise damaged(path, "it has no rows")
    return table
