"""How far a mean may be from the true one: errors of several sources, each known as well as its degrees of freedom allow.

The mean score of a few trainings on one test part has two: that of the trainings, of which there are two to five, and that of
the images, of which there are many. Each source i has a variance v_i that was estimated with f_i degrees of freedom. The
interval of level 1 - p has the half-width

    h(p) = sqrt(sum_i t_i(p)^2 v_i),    t_i(p): the two-sided quantile of Student's t with f_i degrees of freedom,

which contains the true mean in at least 1 - p of all cases, whatever the true variances are (Banerjee, "Approximate confidence
interval for linear functions of means of k populations when the population variances are not equal", Sankhya 22, 1960). With
one source it is the interval of the ordinary t-test. The degrees of freedom that Satterthwaite estimates for the sum are not
safe here: where two trainings agree by chance, their variance and its uncertainty look small together.
"""

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

_SMALLEST = 1e-12  # p-value of several sources


@dataclass(frozen=True)
class StandardError:
    """The error of a mean, or of a difference of two.

    Args:
        parts: Variance (above 0) and degrees of freedom of each independent source; none for a mean without any error.
    """

    parts: tuple[tuple[float, float], ...]

    def half_width(self, p: float) -> float:
        """Return half the width of the interval of level 1 - `p`."""
        return math.sqrt(sum(float(stdtrit(freedom, 1 - p / 2)) ** 2 * variance for variance, freedom in self.parts))

    def p_value(self, distance: float) -> float:
        """Return the p at which the interval of a mean ends at this distance, 0 or more: two-sided, 1 for a distance of 0."""
        if not self.parts or distance == 0:
            return float(distance == 0)
        if len(self.parts) == 1:
            ((variance, freedom),) = self.parts
            return float(2 * stdtr(freedom, -distance / math.sqrt(variance)))
        if self.half_width(_SMALLEST) <= distance:
            return _SMALLEST
        return float(brentq(lambda p: self.half_width(p) - distance, _SMALLEST, 1.0))
