"""Could these calibration errors be chance? The consistency test (Broecker and Smith, Weather and Forecasting 22, 2007).

If probabilities are calibrated, labels are draws from them. So labels are drawn from the probabilities many times, and the
calibration errors computed with each: the p-value is the share of errors that are at least as large as the one that was found
(Vaicenavicius et al., AISTATS 2019). It is exact for images that are independent, however few there are and however the errors
are binned. A small p-value says that the probabilities are not calibrated; a large one does not say that they are.

Images of one patient are not independent: where one of them is worse than its probability says, so are the others, and chance
alone makes larger errors. So, with groups, the correctness of images of a group is drawn with a correlation, the one that they
show: r = sum (c_i - p_i) (c_j - p_j) / sum s_i s_j over the pairs in a group, where c is 1 for correct predictions, p the
confidence and s^2 = p (1 - p). This takes all pairs to be alike, and, as miscalibration looks like correlation, too, it is
cautious.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.bins import BINS, bins_of, usable_bins
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array, ArrayOrTensor, checked
from balanced_mixup.randomness import generator
from balanced_mixup.statistics.bootstrap import units_of

_SAME = 1e-12  # differences that are rounding errors


def consistency_p_values(
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    rare: Sequence[int] = (),
    bins: int = BINS,
    replicates: int = 999,
    seed: int = 0,
) -> dict[str, float]:
    """Return the p-values of calibration errors, from 1 / (replicates + 1) to 1.

    Args:
        y: Integers (N,), labels 0 ... K - 1.
        probabilities: (N, K), rows summing to 1.
        groups: (N,), the patient ... of each image.
        rare: The classes whose mean classwise ECE is "rare_ece".
        bins: Maximum number of bins.
        replicates: How often labels are drawn.
        seed: The draws are a function of it.

    Returns:
        "ece", "classwise_ece" and, where there are `rare`, "rare_ece", as in `calibration_scores`.

    Raises:
        UsageError: An argument is not as described.
    """
    labels, p, _ = checked(y, probabilities, None)
    if replicates < 1:
        raise UsageError(f"Expected `replicates` to be at least 1, but got {replicates}.")
    units, rng = units_of(len(labels), groups), generator(seed, "consistency")
    errors = _Errors(p / p.sum(1, keepdims=True), usable_bins(bins, len(p)), rare)
    found = errors.of(labels)
    together = np.sqrt(errors.correlation(labels, units))
    drawn = np.array([errors.of(errors.draw(units, together, rng)) for _ in range(replicates)])
    names = ("ece", "classwise_ece", "rare_ece")[: len(found)]
    as_large = (drawn >= found - _SAME).sum(0)
    return {name: (1 + int(count)) / (1 + replicates) for name, count in zip(names, as_large, strict=True)}


class _Errors:
    """Calibration errors of fixed probabilities p (N, K), for any labels."""

    def __init__(self, p: Array, bins: int, rare: Sequence[int]) -> None:
        images, classes = p.shape
        self._rare, self._bins = list(rare), bins
        self._predicted, self._confidence = p.argmax(1), p.max(1)
        self._place = bins_of(self._confidence, bins)
        self._expected = np.bincount(self._place, self._confidence, bins)
        # Of each class, in one row after the other.
        columns = [bins_of(column, bins) for column in p.T]
        self._places = np.stack(columns, 1).astype(np.min_scalar_type(bins))
        self._sums = np.concatenate([np.bincount(place, column, bins) for place, column in zip(columns, p.T, strict=True)])
        # Probabilities of an image pile up, its predicted class first, and images follow each other.
        others = p.copy()
        others[np.arange(images), self._predicted] = 0
        self._piled = (self._confidence[:, None] + others.cumsum(1) + np.arange(images)[:, None]).ravel()
        self._starts, self._classes = np.arange(images), classes

    def of(self, labels: npt.NDArray[np.int64]) -> Array:
        """Return ECE, mean classwise ECE and, where there are rare classes, their mean classwise ECE."""
        right = np.bincount(self._place[labels == self._predicted], minlength=self._bins)
        place = labels * self._bins + self._places[self._starts, labels]
        counts = np.bincount(place, minlength=len(self._sums))
        by_class = np.abs(counts - self._sums).reshape(self._classes, self._bins).sum(1)
        errors = [np.abs(right - self._expected).sum(), by_class.mean()]
        if self._rare:
            errors.append(by_class[self._rare].mean())
        return np.array(errors) / len(labels)

    def draw(self, units: npt.NDArray[np.int64], together: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return labels (N,) drawn from the probabilities; images take the draw of their unit with probability `together`."""
        u = rng.random(len(units))
        if together > 0:
            u = np.where(rng.random(len(units)) < together, rng.random(int(units.max()) + 1)[units], u)
        place = np.searchsorted(self._piled, u + self._starts, side="right") - self._classes * self._starts
        labels: npt.NDArray[np.int64] = np.where(u < self._confidence, self._predicted, np.clip(place, 0, self._classes - 1))
        return labels

    def correlation(self, labels: npt.NDArray[np.int64], units: npt.NDArray[np.int64]) -> float:
        """Return the correlation, from 0 to 1, of the correctness of predictions in a unit, given their confidence."""
        excess = (labels == self._predicted) - self._confidence
        deviation = np.sqrt(self._confidence * (1 - self._confidence))
        products, most = ((np.bincount(units, values) ** 2).sum() - (values**2).sum() for values in (excess, deviation))
        return float(np.clip(products / most, 0, 1)) if most > _SAME else 0.0
