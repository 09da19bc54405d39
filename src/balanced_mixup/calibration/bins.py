"""Bins of equally many images, in which probabilities are compared with shares.

Equal masses (Nixon et al., CVPR workshops 2019), with edges as in scikit-learn's `calibration_curve(strategy="quantile")`:
equal widths leave most bins of a rare class empty.
"""

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array

BINS = 15  # Guo et al., ICML 2017

_IMAGES_A_BIN = 10


def usable_bins(bins: int, images: int) -> int:
    """Return the number of bins: `bins`, or fewer where a bin would have fewer than 10 images. UsageError if it is under 1."""
    if bins < 1:
        raise UsageError(f"Expected `bins` to be at least 1, but got {bins}.")
    return max(1, min(bins, images // _IMAGES_A_BIN))


def bins_of(values: Array, bins: int) -> npt.NDArray[np.int64]:
    """Return the bin, from 0, of each of the values (N,); equal values are in the same bin, so bins can be empty."""
    edges = np.sort(values)[(len(values) - 1) * np.arange(1, bins) // bins]  # the last value of each bin
    return np.searchsorted(edges, values).astype(np.int64)
