"""Whether a temperature is kept: only where it is known to help.

One number fitted on few images, or on images that hardly show some class, can make probabilities worse: a temperature of 1.32
from 39 images raised an ECE from 0.088 to 0.136. So none is kept

- from fewer than 50 validation images, or fewer than 10 of a class that was trained on;
- unless it lowers the log loss by more than chance: the validation images are divided into five parts, by groups; the loss on
  each part is measured with the temperature that the other four give, and without; the 95 % interval (Student's t over images
  or groups) of the mean difference has to lie above 0.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from balanced_mixup.calibration.scaling import ScalingProblem
from balanced_mixup.metrics import Array
from balanced_mixup.randomness import generator
from balanced_mixup.statistics.bootstrap import units_of
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.words import counted, display_name, listed

LEAST_IMAGES, LEAST_OF_CLASS = 50, 10

_PARTS = 5
_MOST_NAMES = 3  # of classes in a sentence


def too_few(y: npt.NDArray[np.int64], classes: Sequence[str], trained: npt.NDArray[np.bool_]) -> str:
    """Return why there are too few validation images for a temperature, or "".

    Args:
        y: Labels (N,) of the validation images.
        classes: K names.
        trained: (K,), whether a class has training images; one without never has a share in the probabilities.
    """
    if len(y) < LEAST_IMAGES:
        are = "is" if len(y) == 1 else "are"
        return f"there {are} {counted(len(y), 'validation image')}, fewer than {LEAST_IMAGES}"
    counts = np.bincount(y, minlength=len(classes))
    few = [k for k in np.argsort(counts, kind="stable") if trained[k] and counts[k] < LEAST_OF_CLASS]
    if not few:
        return ""
    named = listed([f"{counts[k]} of {display_name(classes[k])}" for k in few], _MOST_NAMES)
    return f"there are fewer than {LEAST_OF_CLASS} validation images of a class: {named}"


def no_gain(problem: ScalingProblem, groups: npt.NDArray[np.str_] | None, *, bias: bool = False) -> str:
    """Return why a temperature is not known to lower the log loss, or ""; `bias`: where biases are fitted in any case."""
    gain = cross_fitted_gain(problem, groups, bias=bias)
    if np.isnan(gain.low):
        return "all validation images are of one group"
    if gain.low > 0:
        return ""
    return (
        f"it does not lower the log loss beyond chance: by {gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}], "
        "cross-fitted on the validation images"
    )


def cross_fitted_gain(problem: ScalingProblem, groups: npt.NDArray[np.str_] | None, *, bias: bool = False) -> Interval:
    """Return by how much a temperature lowers the log loss of images that it was not fitted on, with its 95 % interval.

    The interval is NaN where all images are of one group.
    """
    units = units_of(len(problem.labels), groups)
    count = int(units.max(initial=0)) + 1
    if count == 1:
        return Interval(0.0)
    part = (generator(0, "parts of a temperature").permutation(count) % _PARTS)[units]
    gains = np.zeros(len(units))
    whole = problem.fit(bias=bias)
    for held in np.unique(part):
        rest, held_out = problem.of_rows(part != held), problem.of_rows(part == held)
        without = rest.fit(temperature=False, bias=bias)
        gains[part == held] = held_out.losses(without) - held_out.losses(rest.fit(bias=bias, start=whole))
    mean = float(gains.mean())
    half = float(stdtrit(count - 1, 0.975)) * _standard_error(gains - mean, units, count)
    return Interval(mean, mean - half, mean + half)


def _standard_error(deviations: Array, units: npt.NDArray[np.int64], count: int) -> float:
    """Return that of a mean over images (N,), of which those of a unit belong together."""
    sums = np.bincount(units, deviations, minlength=count)
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(deviations))
