"""Class weights by frequency, for any loss: `CrossEntropy().weighted(frequency_weights(counts))`."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.sampling import Labels, checked_counts

Weighting = Literal["balanced", "sqrt"]
_POWERS = {"balanced": -1.0, "sqrt": -0.5}


def frequency_weights(counts: Labels, weighting: Weighting = "balanced") -> npt.NDArray[np.float64]:
    """Return weights by inverse class frequency, or its square root, with mean 1 over the training samples.

    "balanced" is N / (K n_k), where K counts the classes with samples, as in scikit-learn. A class without samples gets 0.

    Args:
        counts: (K,), training samples of each class.
        weighting: "balanced" for n^-1, "sqrt" for n^-1/2.

    Returns:
        float64 (K,).
    """
    if weighting not in _POWERS:
        raise UsageError(f"Expected `weighting` to be one of {', '.join(_POWERS)}, but got {weighting!r}.")
    n = checked_counts(counts)
    weights = np.where(n > 0, np.maximum(n, 1) ** _POWERS[weighting], 0.0)
    divided: npt.NDArray[np.float64] = weights * n.sum() / (weights @ n)
    return divided
