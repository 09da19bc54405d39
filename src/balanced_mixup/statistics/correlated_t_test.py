"""How probable is it that one method is better than another, equivalent to it, or worse?

A p-value cannot say that two methods are equivalent: it is large for equal methods, and for few folds too. The Bayesian
correlated t-test (Benavoli, Corani, Demsar and Zaffalon, "Time for a Change", JMLR 18, 2017; Corani and Benavoli, Machine
Learning 100, 2015) gives the probability of each of the three. After n folds with differences of mean m and variance s^2, the
true difference follows Student's t with n - 1 degrees of freedom around m, of scale^2 = (1/n + rho / (1 - rho)) s^2, where rho
is the share of the images that a fold tests, so that rho / (1 - rho) is scored over training images. That is the distribution
behind the corrected resampled t-test (`paired_tests`), and its intervals are the same. For a difference on one test part the
probabilities are those behind its intervals (`two_way_bootstrap`).

Where the true difference is just as large as the margin, a probability of equivalence of 95 % or more occurs in at most 5 % of
experiments: then the mean is so far inside the margin that the one-sided test against it has p of at most 0.05.
"""

import math
from dataclasses import dataclass

from balanced_mixup.statistics.paired_tests import Comparison


@dataclass(frozen=True)
class Chances:
    """Probabilities that a true difference is above the margin, within it, and below minus the margin; NaN where unknown."""

    better: float = math.nan
    equivalent: float = math.nan
    worse: float = math.nan


def chances(difference: Comparison, margin: float, *, higher_is_better: bool = True) -> Chances:
    """Return how probable it is that one method is better than another, equivalent to it, and worse.

    Args:
        difference: Of their scores, the first minus the second.
        margin: The largest difference, above 0, of methods that count as equivalent.
        higher_is_better: Of the score.

    Returns:
        Three probabilities whose sum is 1; NaN where the error of the difference is unknown.
    """
    error = difference.error
    if error is None:
        return Chances()

    def beyond(mean: float) -> float:
        """Return the probability that the true difference is above the margin, where its estimate is this."""
        tail = error.p_value(abs(mean - margin)) / 2
        return 1 - tail if mean > margin else tail

    gain = difference.mean if higher_is_better else -difference.mean
    better, worse = beyond(gain), beyond(-gain)
    return Chances(better, max(0.0, 1 - better - worse), worse)
