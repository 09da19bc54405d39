"""Is one method better than another? Tests over folds, corrected for their dependence.

Two cross-validation folds share most of their training images, so their scores are not independent, and the ordinary t-test
has too many false positives. The corrected resampled t-test (Nadeau and Bengio, "Inference for the Generalization
Error", Machine Learning 52, 2003; for repeated cross-validation Bouckaert and Frank, PAKDD 2004) widens the variance. Where
many methods are compared with one, Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979) controls the
probability of any false positive.

Wilson's interval of a proportion ("Probable Inference", Journal of the American Statistical Association 22, 1927) has a
positive width even where none or all are correct; there the bootstrap has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array
from balanced_mixup.statistics.standard_error import StandardError


@dataclass(frozen=True)
class Comparison:
    """A mean (of scores, or of their differences) with its interval, and the p-value for a mean of 0; NaN where undefined.

    error: What interval and p-value rest on; None where nothing can be tested.
    """

    mean: float
    low: float
    high: float
    p: float
    error: StandardError | None = None

    def untested(self) -> "Comparison":
        """Return the same without what a test says, where its error cannot be known: images of a class are too few."""
        return replace(self, p=np.nan, error=None)


UNDEFINED = Comparison(np.nan, np.nan, np.nan, np.nan)


def corrected_resampled_t(values: npt.ArrayLike, test_share: float, level: float = 0.95) -> Comparison:
    """Return the mean of values over folds with the corrected resampled t-test.

    With the values d_1 ... d_J of variance s^2 (J - 1 degrees of freedom): t = mean / sqrt((1/J + test_share) s^2).

    Args:
        values: (J,), one for each fold of each repeat: the difference of two methods, or the scores of one (then only the
            interval is meaningful).
        test_share: Scored over training images of a fold; 1/4 for five folds.
        level: Of the interval.

    Returns:
        An interval and p that are NaN for a single value. Where all values are equal the interval is a point, and p is 1 for 0
        and 0 for any other value.

    Raises:
        UsageError: There are no values, or `test_share` or `level` is out of range.
    """
    d = np.asarray(values, dtype=np.float64)
    if d.ndim != 1 or not len(d) or not np.isfinite(d).all():
        raise UsageError(f"Expected `values` to be finite numbers of shape (J,), but got {np.array2string(d, threshold=10)}.")
    if not test_share > 0 or not 0 < level < 1:
        raise UsageError(f"Expected `test_share` above 0 and `level` between 0 and 1, but got {test_share} and {level}.")
    mean, count = float(d.mean()), len(d)
    if count == 1:
        return Comparison(mean, np.nan, np.nan, np.nan)
    variance = (1 / count + test_share) * float(d.var(ddof=1))
    error = StandardError(((variance, count - 1.0),) if variance > 0 else ())
    half = error.half_width(1 - level)
    return Comparison(mean, mean - half, mean + half, error.p_value(abs(mean)), error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979); NaN stays NaN and is not counted."""
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(len(p), np.nan)
    order = [row for row in np.argsort(p, kind="stable") if not np.isnan(p[row])]
    highest = 0.0
    for place, row in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p[row]))
        corrected[row] = highest
    return corrected.tolist()


def wilson(proportion: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Return the ends, within 0 to 1, of Wilson's interval of proportions (...) of `trials` (...); 0 and 1 for no trial."""
    n = np.asarray(trials, np.float64)
    middle = np.where(n > 0, np.asarray(proportion, np.float64), 0.5)
    z = float(ndtri((1 + level) / 2))
    centre = n * middle + z**2 / 2
    half = z * np.sqrt(n * middle * (1 - middle) + z**2 / 4)
    # The interval contains the proportion itself and stays within 0 to 1, but for rounding.
    return np.clip((centre - half) / (n + z**2), 0, middle), np.clip((centre + half) / (n + z**2), middle, 1)
