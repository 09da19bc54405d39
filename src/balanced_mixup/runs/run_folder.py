"""The folder of a run: the path of each file."""

from dataclasses import dataclass
from pathlib import Path

from balanced_mixup.errors import UsageError
from balanced_mixup.training.training_files import TrainingFiles


class _File:
    """A file in the folder of a run, as an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: "RunFolder", owner: type["RunFolder"]) -> Path:
        return run.path / self._name


@dataclass(frozen=True)
class RunFolder(TrainingFiles):
    """Paths of a run; it also has evaluations/ with scores on other data, and report.html."""

    recipe = _File("recipe.yaml")  # all settings
    environment = _File("environment.json")  # versions, device, seed, data fingerprint, git commit
    manifest = _File("manifest.csv")  # image, label, group, split and digest of every image
    excluded = _File("excluded.csv")  # rows that were left out, with the reason (with `exclude_bad`)
    model = _File("model.json")  # what prediction needs besides the weights
    predictions = _File("predictions.parquet")  # probabilities for the validation and test split
    metrics = _File("metrics.json")  # scores of the validation and test split
    calibration = _File("calibration.json")  # temperature and class prior, and how well calibrated the probabilities are
    log = _File("train.log")  # all log messages

    def require_finished(self, *, weights: bool = True) -> "RunFolder":
        """Return the folder.

        Raises:
            UsageError: It is not the folder of a finished run, or with `weights` has none, as they were not kept.
        """
        if not self.path.is_dir():
            raise UsageError(f"Expected a run folder, but there is no folder {str(self.path)!r}.")
        if not self.recipe.is_file():
            raise UsageError(f"Expected {str(self.path)!r} to be a run folder, but it has no recipe.yaml.")
        if self.metrics.is_file() and not self.weights.is_file():
            if not weights:
                return self
            raise UsageError(
                f"The run in {str(self.path)!r} is trained, but has no weights (`bmixup benchmark` keeps them only with "
                f"`--keep-weights`). To train it again: bmixup train --config {self.recipe} --out FOLDER."
            )
        if not self.weights.is_file() or not self.model.is_file():
            raise UsageError(
                f"The run in {str(self.path)!r} is not finished: resume it with `bmixup train --out {self.path} --resume`."
            )
        return self
