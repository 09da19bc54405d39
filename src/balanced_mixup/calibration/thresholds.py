"""Decision thresholds: the probability from which an image is assigned to a class, for a target sensitivity.

The threshold is the score of rank ceil(s (n + 1)) among the n validation images of the class, highest first: the sensitivity on
new images then averages at least s (the share above an order statistic is Beta distributed, whatever the scores). It is rounded
down to the decimals that `bmixup predict` writes, so that it selects the same cases there. Its lower bound is the 5 % quantile
of that Beta distribution (Wilks 1941), for images that are independent. Sensitivity and specificity are then measured on other
images.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import ArrayOrTensor, checked
from balanced_mixup.statistics.bootstrap import units_of
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.paired_tests import wilson

LEVEL = 0.95  # of the one-sided lower bound
DECIMALS = 6  # of a threshold, as of the probabilities that `bmixup predict` writes


@dataclass(frozen=True)
class Threshold:
    """An image is assigned to the class if its probability is at least `value`.

    value: With `DECIMALS`; None without validation images of the class. wanted: the target sensitivity. cases: validation
    images of the class. low: the sensitivity on new images is at least this, at `LEVEL`; None without a threshold, and in
    files of older versions, which chose by another rule.
    """

    value: float | None
    wanted: float
    cases: int
    low: float | None = None

    @property
    def needed(self) -> int:
        """The smallest number of cases with which the lower bound of any threshold can reach the target."""
        return math.ceil(math.log(1 - LEVEL) / math.log(self.wanted) - 1e-9)

    @property
    def supported(self) -> bool:
        """Whether there were enough cases for the target sensitivity."""
        return self.cases >= self.needed

    @property
    def note(self) -> str:
        """A caveat, or ""."""
        if not self.cases:
            return "no validation image is of this class: no threshold can be chosen"
        if self.supported:
            return ""
        few = f"{self.cases} validation image{'s' * (self.cases > 1)} of this class cannot support a sensitivity of"
        return f"{few} {self.wanted:g}; at least {self.needed} are needed"


@dataclass(frozen=True)
class OperatingPoint:
    """Sensitivity and specificity of a threshold, and the number of cases and other images; NaN where there are none."""

    sensitivity: Interval
    specificity: Interval
    cases: int
    others: int


@dataclass(frozen=True)
class ThresholdResult:
    """A threshold and how it performs on the images that are scored; `point` is None where there is no threshold."""

    threshold: Threshold
    point: OperatingPoint | None

    def to_dict(self) -> dict[str, Any]:
        """Return both for JSON; what is undefined is None."""
        point = self.point
        return {
            "threshold": self.threshold.value,
            "wanted": self.threshold.wanted,
            "cases": self.threshold.cases,
            "low": self.threshold.low,
            "supported": self.threshold.supported,
            "note": self.threshold.note,
            "sensitivity": None if point is None else point.sensitivity.to_dict(),
            "specificity": None if point is None else point.specificity.to_dict(),
            "test_cases": None if point is None else point.cases,
            "test_others": None if point is None else point.others,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError or ValueError where it is something else."""
        threshold = Threshold(content["threshold"], content["wanted"], content["cases"], content.get("low"))
        if threshold.value is None:
            return cls(threshold, None)
        sensitivity, specificity = (Interval.from_dict(content[name]) for name in ("sensitivity", "specificity"))
        return cls(threshold, OperatingPoint(sensitivity, specificity, content["test_cases"], content["test_others"]))


def choose_threshold(y: ArrayOrTensor, probabilities: ArrayOrTensor, of: int, sensitivity: float) -> Threshold:
    """Return the threshold, with `DECIMALS`, whose sensitivity on new images averages at least `sensitivity` for class `of`.

    With fewer than s / (1 - s) cases no rank does; the lowest score of a case is then taken.

    Args:
        y: Integers (N,), labels of validation images.
        probabilities: (N, K).
        of: The class.
        sensitivity: Above 0 and under 1.

    Raises:
        UsageError: An argument is not as described.
    """
    labels, p, _ = checked(y, probabilities, None)
    _require_class(of, p.shape[1])
    if not 0 < sensitivity < 1:
        raise UsageError(f"Expected a sensitivity above 0 and under 1, such as 0.95, but got {sensitivity}.")
    of_cases = np.sort(p[labels == of, of])[::-1]
    n = len(of_cases)
    if not n:
        return Threshold(None, sensitivity, 0)
    rank = min(math.ceil(sensitivity * (n + 1) - 1e-9), n)
    low = float(beta.ppf(1 - LEVEL, rank, n + 1 - rank))
    return Threshold(_rounded_down(float(of_cases[rank - 1])), sensitivity, n, low)


def operating_point(
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    of: int,
    threshold: float,
    groups: npt.NDArray[np.str_] | None = None,
    level: float = 0.95,
) -> OperatingPoint:
    """Return sensitivity and specificity of a threshold for class `of`.

    Args:
        y, probabilities, of: As in `choose_threshold`, of other images.
        threshold: Probability from which an image is assigned to the class.
        groups: (N,), the patient ... of each image.
        level: Of Wilson's interval. With `groups`, there are as many trials as groups, as if the images of a group counted
            as one, which is conservative.

    Raises:
        UsageError: An argument is not as described.
    """
    labels, p, _ = checked(y, probabilities, None)
    _require_class(of, p.shape[1])
    units, case, called = units_of(len(labels), groups), labels == of, p[:, of] >= threshold
    shares = []
    for rows, right in ((case, called), (~case, ~called)):
        share = float(right[rows].mean()) if rows.any() else np.nan
        low, high = wilson(share, len(np.unique(units[rows])), level)
        shares.append(Interval(share, float(low), float(high)) if rows.any() else Interval(np.nan))
    return OperatingPoint(shares[0], shares[1], int(case.sum()), int((~case).sum()))


def _rounded_down(value: float) -> float:
    """Return the highest number of `DECIMALS` that is not above `value`."""
    nearest = round(value, DECIMALS)
    return nearest if nearest <= value else round(nearest - 10**-DECIMALS, DECIMALS)


def _require_class(of: int, classes: int) -> None:
    if not 0 <= of < classes:
        raise UsageError(f"Expected `of` to be a class from 0 to {classes - 1}, but got {of}.")
