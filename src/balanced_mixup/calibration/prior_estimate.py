"""The class prior of images without labels, and how sure it is.

The estimate is Saerens' expectation maximisation (Neural Computation 14, 2002, Eqs. 9 and 10), with a pseudo-count of one image
distributed as the source prior: with few images no class is ruled out, with many it has no effect.

It rests on two samples: the images themselves, and the validation images, from which one knows how probabilities relate to
classes. Both are drawn again together, and temperature, prior and estimate are computed from each draw; the middle 95 % of the
estimates are the interval. It assumes that only the class prior differs, not the appearance of a class.

Notable decisions
- The draws are Bayesian ones (Rubin, Annals of Statistics 9, 1981): every image, or group, gets a weight from an exponential
  distribution, so that no draw lacks a rare class.
- What is assumed before an image is seen is drawn, too (Newton, Polson and Xu, Canadian Journal of Statistics 49, 2021): the
  centre of the penalty of the fit from that Gaussian (see `scaling`), and Jeffreys' half an image of each class. So an interval
  from few validation images is as wide as the ignorance is, and the interval of a class of which no image was seen does not
  shrink to 0.
- The weights of G groups are spread wider, as Student's t is than the Gaussian: with few groups the intervals would be too
  narrow.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from balanced_mixup.calibration.priors import PriorProblem, checked_prior, checked_rows
from balanced_mixup.calibration.scaling import LEAST, logarithms
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array, ArrayOrTensor
from balanced_mixup.randomness import generator
from balanced_mixup.statistics.bootstrap import units_of

_CLOSE = 1e-7  # convergence threshold of an estimate
_CLOSE_DRAW = 1e-5  # that of a draw, which the width of an interval hardly shows
_LEAST_UNITS = 4
_DRAWS, _LEAST_DRAWS = 400, 100
_MOST_NUMBERS = 2**30  # probabilities x draws; with more there are fewer draws


@dataclass(frozen=True)
class EstimatedPrior:
    """The estimated class prior of unlabelled images.

    prior: float64 (K,), sums to 1. converged: False where the iteration was stopped before convergence; the estimate is then
    unreliable.
    """

    prior: Array
    converged: bool


def estimate_prior(probabilities: ArrayOrTensor, source: npt.ArrayLike, *, max_steps: int = 5000) -> EstimatedPrior:
    """Estimate the class prior of images without labels.

    It is the maximum-likelihood prior; it is valid where only the class prior differs from that of the images used for
    calibration. A step: new prior = mean of adjust_prior(p, source, prior), with one more image distributed as `source`.

    Args:
        probabilities: (N, K), calibrated; rows summing to 1.
        source: (K,), their prior.
        max_steps: Maximum number of iterations.

    Raises:
        UsageError: An argument is not as described, or there is no image.
    """
    p = checked_rows(probabilities)
    origin = checked_prior("source", source, p.shape[1])
    if max_steps < 1:
        raise UsageError(f"Expected `max_steps` >= 1, but got {max_steps}.")
    ratios = np.divide(p, origin, out=np.zeros_like(p), where=origin > 0)
    return _maximised(ratios, np.ones(len(p)), origin, origin, _CLOSE, max_steps)


def prior_interval(
    problem: PriorProblem,
    probabilities: ArrayOrTensor,
    estimate: Array,
    validation_groups: npt.NDArray[np.str_] | None = None,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    draws: int = _DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Return the ends of the interval of an estimated prior, float64 (K,) each; it contains the estimate.

    Args:
        problem: Of the validation images.
        probabilities: (M, K), uncorrected, of the images whose prior was estimated.
        estimate: (K,), their estimated prior.
        validation_groups, groups: The patient ... of each image of both; images are drawn where None.
        draws: Number of draws; fewer, 100 at least, where there are very many probabilities.
        level: Proportion of the draws inside the interval.
        seed: The draws are a function of it.
    """
    logs = logarithms(checked_rows(probabilities))[:, problem.trained]
    log_natural = np.log(problem.natural[problem.trained])
    known = None if validation_groups is None else validation_groups[problem.known]
    rng, whole = generator(seed, "class prior"), problem.problem.fit()
    units = units_of(len(problem.problem.labels), known), units_of(len(logs), groups)
    shapes = _shapes(units[0], problem.problem.labels if known is not None else None), _shapes(units[1])
    pseudo, start = np.full(logs.shape[1], 0.5), np.maximum(estimate[problem.trained], _CLOSE)
    found = np.zeros((max(_LEAST_DRAWS, min(draws, _MOST_NUMBERS // (logs.size + problem.problem.logs.size))), len(estimate)))
    for draw in found:
        fitted = problem.problem.fit(
            weights=_weights(units[0], shapes[0], rng), pull=rng.standard_normal(1 + len(pseudo)), start=whole
        )
        scaled = logs / fitted.temperature + fitted.bias - log_natural
        ratios = np.exp(scaled - scaled.max(1, keepdims=True))
        drawn = _maximised(
            ratios, _weights(units[1], shapes[1], rng), rng.gamma(pseudo), start / start.sum(), _CLOSE_DRAW, 1000
        )
        draw[problem.trained] = drawn.prior
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.minimum(low, estimate), np.maximum(high, estimate)


def _maximised(ratios: Array, weights: Array, pseudo: Array, start: Array, close: float, max_steps: int) -> EstimatedPrior:
    """Return the prior (K,) that maximises sum weights log(ratios @ prior) + sum pseudo log prior.

    Args:
        ratios: (N, K), the likelihood of each class for an image, up to a factor for the image.
        weights: (N,), of the images.
        pseudo: (K,), images of each class that are added.
        start: (K,), where to begin.
        close: The iteration ends with a step that moves no share by as much.
        max_steps: Of the iteration.
    """
    prior, moved = start, np.inf
    for _ in range(max_steps):
        evidence = np.maximum(ratios @ prior, LEAST)
        after = prior * (ratios.T @ (weights / evidence)) + pseudo
        after /= after.sum()
        moved, prior = float(np.abs(after - prior).max()), after
        if moved < close:
            break
    return EstimatedPrior(prior, moved < close)


def _shapes(units: npt.NDArray[np.int64], labels: npt.NDArray[np.int64] | None = None) -> Array:
    """Return the shape of the gamma distribution of each unit's weight: 1 where there are many units, less where few.

    The variance is 1, times n / (n - 1), times the square of how much wider Student's t is than the Gaussian; n is the number
    of units, or with `labels` (N,) of units with an image of the unit's rarest class, 4 at least.
    """
    count = int(units.max()) + 1
    n = np.full(count, count)
    if labels is not None:
        pairs = np.unique(np.stack([units, labels]), axis=1)
        of_class = np.bincount(pairs[1])
        np.minimum.at(n, pairs[0], of_class[pairs[1]])
    n = np.maximum(n, _LEAST_UNITS)
    shapes: Array = (stdtrit(np.inf, 0.975) / stdtrit(n - 1, 0.975)) ** 2 * (n - 1) / n
    return shapes


def _weights(units: npt.NDArray[np.int64], shapes: Array, rng: np.random.Generator) -> Array:
    """Return random weights of the images (N,), equal within a unit, with a mean of 1 over the units."""
    drawn = rng.gamma(shapes) / shapes
    weights: Array = (drawn / drawn.mean())[units]
    return weights
