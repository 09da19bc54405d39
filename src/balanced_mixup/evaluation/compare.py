"""Two models, or several trainings of two methods, on the same images: the differences of their scores.

One training each says nothing about two methods: another seed gives another model. So two trained models have a difference
with an interval over the images, and no test; from two trainings of each on the difference is one of methods, over trainings
and images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, applicable
from balanced_mixup.runs.evaluation import Evaluation
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import defined_metrics
from balanced_mixup.statistics.bootstrap import replicate, units_of
from balanced_mixup.statistics.correlated_t_test import Chances
from balanced_mixup.statistics.correlated_t_test import chances as chances_of
from balanced_mixup.statistics.detectable_difference import detectable_difference
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.paired_tests import UNDEFINED, Comparison
from balanced_mixup.statistics.scoring import SmallNumbers
from balanced_mixup.statistics.two_way_bootstrap import difference_over_trainings

LEVEL = 0.05
MARGIN = 0.01

Scored = Path | str | Run | Evaluation


@dataclass(frozen=True)
class Difference:
    """The (mean) score of a minus that of b, on the same images.

    With one training of either, the interval is over the images (paired bootstrap, 95 %), and the rest is undefined. Otherwise
    it is over trainings and images, with a `p`, the `chances` that a is better by more than the margin, equivalent or worse,
    and the smallest true difference that is `detectable` with 80 % power.
    """

    metric: str
    interval: Interval
    p: float = math.nan
    chances: Chances = field(default_factory=Chances)
    detectable: float = math.nan

    @classmethod
    def of(cls, metric: str, comparison: Comparison, margin: float, warning: str | None = None) -> "Difference":
        """Return the difference with what follows from it."""
        return cls(
            metric,
            Interval(comparison.mean, comparison.low, comparison.high).warned(warning),
            comparison.p,
            chances_of(comparison, margin, higher_is_better=METRICS[metric].higher_is_better),
            detectable_difference(comparison.error, LEVEL),
        )

    @property
    def winner(self) -> str | None:
        """Return "a" or "b" where the methods differ significantly (5 %); None without several trainings of each."""
        if not self.p < LEVEL:
            return None
        return "a" if (self.interval.value > 0) == METRICS[self.metric].higher_is_better else "b"


class Differences(dict[str, Difference]):
    """The difference a - b of every metric by its name."""

    def __init__(
        self, differences: Sequence[Difference], images: int, trainings: tuple[int, int] = (1, 1), *, ordinal: bool
    ) -> None:
        """Store them.

        Args:
            differences: In the order of `METRICS`.
            images: On how many all were scored.
            trainings: How many there are of a and of b.
            ordinal: Whether the classes are ordinal.
        """
        super().__init__({difference.metric: difference for difference in differences})
        self.images, self.trainings, self.ordinal = images, trainings, ordinal

    @property
    def of_methods(self) -> bool:
        """Whether there are several trainings of each, so that two methods are compared and not two trained models."""
        return min(self.trainings) > 1

    def applicable(self) -> dict[str, Difference]:
        """Return those that apply to the classes, ordinal or not, and are defined."""
        return {name: each for name, each in applicable(self, self.ordinal).items() if not math.isnan(each.interval.value)}

    def meaning(self) -> str:
        """Return a sentence on what is compared."""
        if self.of_methods:
            count = " and ".join(map(str, self.trainings))
            return f"Means of {count} trainings; intervals and p over trainings and images (two-way bootstrap)."
        return (
            "These are differences of these two trained models on images like these, not of two methods, whose trainings "
            "differ, too: no p-value."
        )

    def __repr__(self) -> str:
        """Return a line for each metric: the difference, its interval, and of methods the p-value."""
        lines = [f"Differences(a - b on {self.images:,} images, 95 % intervals)", f"  {self.meaning()}"]
        for name, difference in self.applicable().items():
            score = difference.interval
            ends = "" if math.isnan(score.low) else f" [{score.low:+.3f}, {score.high:+.3f}]"
            test = "" if math.isnan(difference.p) else f"  p = {difference.p:.3f}"
            lines.append(f"  {METRICS[name].label:<20} {score.value:+.3f}{ends}{test}")
        return "\n".join(lines)


def compare(
    a: Scored | Sequence[Scored], b: Scored | Sequence[Scored], split: str = "test", *, margin: float = 100 * MARGIN
) -> Differences:
    """Return the difference a - b of every metric on images that both have predictions of.

        differences = compare("runs/mine", "runs/other")  # of these two trained models
        differences = compare("runs/mine", "runs/mine/evaluations/theirs-test")  # `evaluate(run, predictions=...)`
        differences["mcc"].interval
        differences = compare(["runs/mine-0", "runs/mine-1"], ["runs/other-0", "runs/other-1"])  # of two methods
        differences["mcc"].p, differences["mcc"].chances.equivalent, differences["mcc"].detectable

    Args:
        a, b: Runs or evaluations, or their folders; several trainings of one method with other seeds in a sequence.
        split: Of a run, the split that is compared; an evaluation has the images that it scored.
        margin: Methods whose scores differ by at most this many percentage points are equivalent.

    Raises:
        UsageError: There are no predictions, or not of the same images with the same labels; the same training is given twice;
            or the margin is not above 0.
    """
    if not 0 < margin <= 100:
        raise UsageError(f"Expected `margin` to be a number of percentage points above 0, such as 1, but got {margin:g}.")
    sides = [[_opened(each) for each in _several(of)] for of in (a, b)]
    if not all(sides):
        raise UsageError("Expected at least one training of `a` and of `b`, but got none.")
    first = _predictions(sides[0][0], split)
    aligned = [[_aligned(first, _predictions(each, split)) for each in side] for side in sides]
    if not len(first) or any(each is None for side in aligned for each in side):
        names = " and ".join(repr(str(each.path)) for side in sides for each in side)
        raise UsageError(f"Expected all to be scored on the same images with the same labels, but {names} are not.")
    found = [each for side in aligned for each in side if each is not None]
    for side, trainings in zip(sides, (found[: len(sides[0])], found[len(sides[0]) :]), strict=True):
        _check_different(side, trainings)
    defined = [name for name in METRICS if all(name in defined_metrics(each) for each in found)]
    drawn = replicate(first.labels, [each.probabilities for each in found], first.groups, metrics=defined)
    count = len(sides[0])
    units = units_of(len(first), first.groups)

    small = SmallNumbers(first.labels, len(first.classes), None if first.groups is None else units, first.classes)

    def difference(name: str) -> Difference:
        found = UNDEFINED
        if name in defined:
            found = difference_over_trainings(drawn[:count], drawn[count:], name, int(units.max()) + 1)
        warning = small.of_metric(name)
        # A mean over classes of which one has a few images differs for their sake: a p-value would not hold.
        return Difference.of(name, found.untested() if warning and METRICS[name].macro else found, margin / 100, warning)

    differences = [difference(name) for name in METRICS]
    return Differences(differences, len(first), (count, len(sides[1])), ordinal=_is_ordinal(sides[0][0]))


def _several(of: Scored | Sequence[Scored]) -> Sequence[Scored]:
    return [of] if isinstance(of, Path | str | Run | Evaluation) else of


def _check_different(side: Sequence[Run | Evaluation], trainings: Sequence[Predictions]) -> None:
    """Raise UsageError where the same training is given twice, which would look like two that agree."""
    for (one, first), (other, second) in combinations(zip(side, trainings, strict=True), 2):
        if np.array_equal(first.probabilities, second.probabilities):
            names = f"{str(one.path)!r} and {str(other.path)!r}"
            raise UsageError(f"Expected trainings with other seeds, but {names} have the same predictions: leave one out.")


def _opened(of: Scored) -> Run | Evaluation:
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
