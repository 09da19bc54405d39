"""Two runs on the same images: the differences of their scores, and whether they are significant."""

from dataclasses import dataclass
from pathlib import Path

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.run import Run
from balanced_mixup.statistics.bootstrap import Interval, paired_difference


@dataclass(frozen=True)
class Difference:
    """The score of run a minus that of run b, resampled together (paired bootstrap, 95 %)."""

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


def compare(run_a: Path | str, run_b: Path | str, split: str = "test") -> dict[str, Difference]:
    """Return the difference a - b of every metric on a split that both runs held out.

    Raises:
        UsageError: A run has no predictions, or they did not hold out the same images with the same labels.
    """
    a, b = (Run.open(run).predictions.in_split(split) for run in (run_a, run_b))
    if a.images != b.images or a.classes != b.classes or (a.labels != b.labels).any():
        raise UsageError(f"Expected two runs that held out the same images, but {str(run_a)!r} and {str(run_b)!r} did not.")
    intervals = paired_difference(a.labels, a.probabilities, b.probabilities, a.groups)
    return {name: Difference(name, intervals[name]) for name in METRICS}
