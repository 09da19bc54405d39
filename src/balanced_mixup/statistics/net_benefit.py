"""The net benefit of acting on the probability of a class (Vickers and Elkin, Medical Decision Making 2006)."""

import numpy as np
import numpy.typing as npt

from balanced_mixup.metrics import Array

Bools = npt.NDArray[np.bool_]


def net_benefit(positive: Bools, probability: Array, thresholds: Array, weights: Array | None = None) -> Array:
    """Return the net benefit of acting on images whose probability is at least a threshold t, float64 (T,).

        net benefit = true positives / N - false positives / N * t / (1 - t)

    A threshold of t says that missing one image of the class is as bad as acting on (1 - t) / t others. Acting on none has a
    net benefit of 0.

    Args:
        positive: (N,), whether an image is of the class.
        probability: (N,), of the class.
        thresholds: (T,), from 0 to under 1.
        weights: (N,), how many images each stands for; 1 if not given.
    """
    weight = np.ones(len(positive)) if weights is None else weights
    order = np.argsort(-probability, kind="stable")
    true, false = (np.concatenate([[0.0], np.cumsum((weight * own)[order])]) for own in (positive, ~positive))
    acted = np.searchsorted(-probability[order], -thresholds, side="right")
    return np.asarray((true[acted] - false[acted] * thresholds / (1 - thresholds)) / weight.sum())
