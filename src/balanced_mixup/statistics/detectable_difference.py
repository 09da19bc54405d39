"""What a comparison could have found: the smallest true difference that its test detects in four of five experiments.

Absence of significance says something only together with this number. The estimate d of a true difference D varies around it
with the variances v_i of its sources (`standard_error`), and the test rejects where |d| > h, whose half-width h varies too, as
it rests on variances that are estimated with few degrees of freedom:

    power(D) = P(|d| > h),    d ~ N(D, sum_i v_i),    h^2 = sum_i t_i^2 v_i c_i / f_i,    c_i ~ chi^2

with f_i degrees of freedom. With one source this is the power of the t-test (noncentral t). The unknown v_i are replaced by
their estimates; as the root of an estimated variance is too small on average, by the factor c_4 of quality control, it is
divided by that.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, gammaln, ndtr, stdtrit

from balanced_mixup.statistics.standard_error import StandardError

POWER = 0.8
_POINTS = 100  # at which the distribution of each estimated variance is evaluated


def detectable_difference(error: StandardError | None, level: float = 0.05, power: float = POWER) -> float:
    """Return the smallest true difference that a two-sided test of this `level` finds with this `power`.

    Args:
        error: Of the difference that is tested; None where it is unknown.
        level: Of the test.
        power: Above `level` and under 1.

    Returns:
        In the unit of the differences; NaN where the error is unknown.
    """
    if error is None:
        return math.nan
    if not error.parts:
        return 0.0
    variances = [variance / _mean_of_root(freedom) ** 2 for variance, freedom in error.parts]
    tails = (np.arange(_POINTS) + 0.5) / _POINTS
    squared = np.zeros(1)
    for variance, (_, freedom) in zip(variances, error.parts, strict=True):
        quantile = stdtrit(freedom, 1 - level / 2)
        squared = np.add.outer(squared, quantile**2 * variance * chdtri(freedom, tails) / freedom).ravel()
    scale = math.sqrt(sum(variances))
    half = np.sqrt(squared) / scale

    def found(difference: float) -> float:
        return float(np.mean(ndtr(difference - half) + ndtr(-difference - half)))

    return scale * float(brentq(lambda difference: found(difference) - power, 0.0, float(half.max()) + 10))


def _mean_of_root(freedom: float) -> float:
    """Return c_4: the mean of an estimated standard deviation over the true one."""
    return math.sqrt(2 / freedom) * math.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2))
