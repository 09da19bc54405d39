"""The folder of a run: the path of each file."""

from dataclasses import dataclass
from pathlib import Path

from balanced_mixup.errors import UsageError
from balanced_mixup.training.training_files import TrainingFiles


@dataclass(frozen=True)
class RunFolder(TrainingFiles):
    """Paths of a run.

    recipe.yaml: all settings. environment.json: versions, device, seed, data fingerprint, git commit. manifest.csv: image,
    label, group, split and digest of every image. model.json: what prediction needs beside the weights. history.csv: a row
    an epoch. weights.safetensors: of the best epoch. predictions.parquet: probabilities for the validation and test split.
    metrics.json: their scores. calibration.json: how to correct probabilities. cost.json: time and memory. evaluations/: scores
    on other data. train.log: what was printed. report.html: the report.
    """

    @property
    def recipe(self) -> Path:
        """All settings."""
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        """Versions, device, seed, data fingerprint, git commit."""
        return self.path / "environment.json"

    @property
    def manifest(self) -> Path:
        """Image, label, group, split and digest of every image."""
        return self.path / "manifest.csv"

    @property
    def excluded(self) -> Path:
        """Rows that were left out, with the reason (with `exclude_bad`)."""
        return self.path / "excluded.csv"

    @property
    def model(self) -> Path:
        """What prediction needs beside the weights."""
        return self.path / "model.json"

    @property
    def predictions(self) -> Path:
        """Probabilities for the validation and test split."""
        return self.path / "predictions.parquet"

    @property
    def metrics(self) -> Path:
        """Scores of the validation and test split."""
        return self.path / "metrics.json"

    @property
    def calibration(self) -> Path:
        """Temperature and class prior, fitted on the validation split, and how well calibrated the probabilities are."""
        return self.path / "calibration.json"

    @property
    def log(self) -> Path:
        """What was printed."""
        return self.path / "train.log"

    def require_finished(self) -> "RunFolder":
        """Return the folder.

        Raises:
            UsageError: It is not the folder of a finished run.
        """
        if not self.path.is_dir():
            raise UsageError(f"Expected a run folder, but there is no folder {str(self.path)!r}.")
        if not self.recipe.is_file():
            raise UsageError(f"Expected {str(self.path)!r} to be a run folder, but it has no recipe.yaml.")
        if not self.weights.is_file() or not self.model.is_file():
            raise UsageError(
                f"The run in {str(self.path)!r} is not finished: finish it with `bmixup train --out {self.path} --resume`."
            )
        return self
