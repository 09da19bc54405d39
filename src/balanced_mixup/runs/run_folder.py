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
    digests = _File("files.json")  # SHA-256 of the files above
    log = _File("train.log")  # all log messages

    def own(self, path: Path) -> Path:
        """Return a path in the folder that is to be written.

        Raises:
            UsageError: It is a link out of the folder, as a folder from elsewhere can hold.
        """
        if not (target := path.resolve()).is_relative_to(self.path.resolve()):
            raise UsageError(
                f"Expected {str(path)!r} to be in its own folder, but it is a link to {str(target)!r}, which would be written "
                "to. Remove the link."
            )
        return path

    def require_finished(self) -> "RunFolder":
        """Return the folder.

        Raises:
            UsageError: It is not the folder of a finished run, or its weights were not kept.
        """
        if not self.path.is_dir():
            raise UsageError(f"Expected a run folder, but there is no folder {str(self.path)!r}.")
        if not self.recipe.is_file():
            raise UsageError(f"Expected {str(self.path)!r} to be a run folder, but it has no recipe.yaml.")
        if self.metrics.is_file() and not self.weights.is_file():
            raise UsageError(
                f"The run in {str(self.path)!r} is trained, but its weights were not kept (`bmixup benchmark` keeps them with "
                f"`--keep-weights`). To train it again: bmixup train --config {self.recipe} --out FOLDER."
            )
        if not self.weights.is_file() or not self.model.is_file():
            raise UsageError(
                f"The run in {str(self.path)!r} is not finished: resume it with `bmixup train --out {self.path} --resume`."
            )
        return self
