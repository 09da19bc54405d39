"""From what probability on an image counts as a class, so that a wanted share of its cases is found.

The threshold is chosen on validation images: the highest one at which at least that share of the cases has a probability of it
or more, rounded down to the decimals that tables of predictions have: who reads it there and in such a table finds the same
cases. What it is worth is then counted on other images. Few cases cannot carry a high sensitivity: of 20 cases one missed is
0.95 already, so nothing between 0.95 and 1 can be told apart. The result says so.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import ArrayOrTensor, checked
from balanced_mixup.statistics.bootstrap import Interval, units_of
from balanced_mixup.statistics.paired_tests import wilson

DECIMALS = 6  # of a threshold, as of the probabilities that `bmixup predict` writes


@dataclass(frozen=True)
class Threshold:
    """An image counts as the class where its probability is `value` or more.

    value: With `DECIMALS`; None where there was no case to choose it on. wanted: the sensitivity asked for. cases: validation
    images of the class. needed: how many the wanted sensitivity takes at least, so that one may be missed.
    """

    value: float | None
    wanted: float
    cases: int
    needed: int

    @property
    def supported(self) -> bool:
        """Whether there were enough cases for the wanted sensitivity."""
        return self.cases >= self.needed

    @property
    def note(self) -> str:
        """What a reader has to know, or ""."""
        if not self.cases:
            return "no validation image is of this class: no threshold can be chosen"
        if self.supported:
            return ""
        least = f"{self.cases} validation image{'s' * (self.cases > 1)} of this class cannot tell a sensitivity of"
        return f"{least} {self.wanted:g} from lower ones; at least {self.needed} are needed"


@dataclass(frozen=True)
class OperatingPoint:
    """Share of the cases that are found, and share of the other images that are left alone; NaN where there are none."""

    sensitivity: Interval
    specificity: Interval
    cases: int
    others: int


def choose_threshold(y: ArrayOrTensor, probabilities: ArrayOrTensor, of: int, sensitivity: float) -> Threshold:
    """Return the highest threshold of `DECIMALS` that finds at least the share `sensitivity` of the cases of class `of`.

    It finds them among probabilities that are rounded to as many decimals, too.

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
    needed = math.ceil(1 / (1 - sensitivity) - 1e-9)
    found = math.ceil(sensitivity * len(of_cases) - 1e-9)
    return Threshold(_rounded_down(float(of_cases[found - 1])) if found else None, sensitivity, len(of_cases), needed)


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
        threshold: From which probability on an image counts as the class.
        groups: (N,), the patient ... of each image.
        level: Of Wilson's interval. With `groups`, there are as many trials as groups, as if the images of a group said the
            same: the interval is rather too wide than too narrow.

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
        shares.append(Interval(share, float(low), float(high)) if rows.any() else Interval(np.nan, np.nan, np.nan))
    return OperatingPoint(shares[0], shares[1], int(case.sum()), int((~case).sum()))


def _rounded_down(value: float) -> float:
    """Return the highest number of `DECIMALS` that is not above `value`."""
    nearest = round(value, DECIMALS)
    return nearest if nearest <= value else round(nearest - 10**-DECIMALS, DECIMALS)


def _require_class(of: int, classes: int) -> None:
    if not 0 <= of < classes:
        raise UsageError(f"Expected `of` to be a class from 0 to {classes - 1}, but got {of}.")
