"""Numbers of training images of each class, as losses use them."""

import numpy as np
import numpy.typing as npt

from balanced_mixup.sampling import Labels, checked_counts


def positive_counts(counts: Labels) -> npt.NDArray[np.float64]:
    """Return the counts as float64 (K,), a class without images as if it had as many as the rarest of the others.

    So logarithms and ratios are finite, and such a class changes nothing for the others.
    """
    n = checked_counts(counts)
    return np.where(n > 0, n, n[n > 0].min())


def class_shares(counts: Labels) -> npt.NDArray[np.float64]:
    """Return pi_k = n_k / sum n, float64 (K,), by `positive_counts`: those of classes with images sum to 1."""
    shares: npt.NDArray[np.float64] = positive_counts(counts) / checked_counts(counts).sum()
    return shares
