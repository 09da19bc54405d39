"""Two models on the same images: the differences of their scores, and whether they are significant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, applicable
from balanced_mixup.runs.evaluation import Evaluation
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import defined_metrics
from balanced_mixup.statistics.bootstrap import paired_difference
from balanced_mixup.statistics.interval import Interval


@dataclass(frozen=True)
class Difference:
    """The score of a minus that of b, resampled together (paired bootstrap, 95 %)."""

    metric: str
    interval: Interval

    @property
    def winner(self) -> str | None:
        """Return "a" or "b" where the interval excludes 0, else None."""
        if self.interval.low > 0:
            return "a" if METRICS[self.metric].higher_is_better else "b"
        if self.interval.high < 0:
            return "b" if METRICS[self.metric].higher_is_better else "a"
        return None


class Differences(dict[str, Difference]):
    """The difference a - b of every metric by its name."""

    def __init__(self, differences: Sequence[Difference], images: int, *, ordinal: bool) -> None:
        """Args: differences: in the order of `METRICS`. images: how many both were scored on. ordinal: the classes are it."""
        super().__init__({difference.metric: difference for difference in differences})
        self.images, self.ordinal = images, ordinal

    def applicable(self) -> dict[str, Difference]:
        """Return those that apply to the classes, ordinal or not, and are defined."""
        return {name: each for name, each in applicable(self, self.ordinal).items() if not math.isnan(each.interval.value)}

    def __repr__(self) -> str:
        """Return a line for each metric: the difference, its interval, and which one is better."""
        lines = [f"Differences(a - b on {self.images:,} images, 95 % intervals)"]
        for name, difference in self.applicable().items():
            score = difference.interval
            ends = "" if math.isnan(score.low) else f" [{score.low:+.3f}, {score.high:+.3f}]"
            better = "" if difference.winner is None else f"  {difference.winner} is better"
            lines.append(f"  {METRICS[name].label:<20} {score.value:+.3f}{ends}{better}")
        return "\n".join(lines)


def compare(a: Path | str | Run | Evaluation, b: Path | str | Run | Evaluation, split: str = "test") -> Differences:
    """Return the difference a - b of every metric on images that both have predictions of.

        differences = compare("runs/mine", "runs/other")
        differences = compare("runs/mine", "runs/mine/evaluations/theirs-test")  # `evaluate(run, predictions=...)`
        differences["mcc"].interval, differences["mcc"].winner

    Args:
        a, b: Runs or evaluations, or their folders.
        split: Of a run, the split that is compared; an evaluation has the images that it scored.

    Raises:
        UsageError: There are no predictions, or not of the same images with the same labels.
    """
    a, b = _opened(a), _opened(b)
    first = _predictions(a, split)
    second = _aligned(first, _predictions(b, split))
    if second is None or not len(first):
        names = " and ".join(repr(str(each.path)) for each in (a, b))
        raise UsageError(f"Expected two that are scored on the same images with the same labels, but {names} are not.")
    intervals = paired_difference(first.labels, first.probabilities, second.probabilities, first.groups)
    defined = [name for name in defined_metrics(first) if name in defined_metrics(second)]
    differences = [Difference(name, intervals[name] if name in defined else Interval(math.nan)) for name in METRICS]
    return Differences(differences, len(first), ordinal=_is_ordinal(a))


def _opened(of: Path | str | Run | Evaluation) -> Run | Evaluation:
    if not isinstance(of, Path | str):
        return of
    path = Path(of)
    is_evaluation = not RunFolder(path).recipe.is_file() and (path / "metrics.json").is_file()
    return Evaluation.open(path) if is_evaluation else Run.open(path)


def _is_ordinal(of: Run | Evaluation) -> bool:
    if isinstance(of, Evaluation):
        program = of.stored.other_program
        return of.run.ordinal if program is None else program.ordinal
    return of.ordinal


def _predictions(of: Run | Evaluation, split: str) -> Predictions:
    return of.predictions.in_split(split) if isinstance(of, Run) else of.scored


def _aligned(first: Predictions, second: Predictions) -> Predictions | None:
    """Return the second with images and classes in the order of the first; None where they are not the same."""
    if sorted(first.images) != sorted(second.images) or set(first.classes) != set(second.classes):
        return None
    row_of = {name: row for row, name in enumerate(second.images)}
    moved = second.take(np.array([row_of[name] for name in first.images], np.int64))
    columns = [second.classes.index(name) for name in first.classes]
    labels = np.argsort(columns)[moved.labels]
    if (labels != first.labels).any():
        return None
    return replace(moved, classes=first.classes, probabilities=moved.probabilities[:, columns], labels=labels)
