"""The class prior implied by a model's probabilities, and its correction to another one.

A probability of 10 % for melanoma refers to this image in a collection with certain class frequencies. A model
trained with balanced sampling overestimates rare classes; in another hospital they may be more or less frequent. Where only the
prior differs and not the appearance of each class (label shift), the probabilities follow by Bayes' rule:

    p'(k | x)  ~  p(k | x) pi'_k / pi_k             Elkan, IJCAI 2001; Saerens et al., Neural Computation 14, 2002, Eq. 4

Notable decisions
- Stored predictions are probabilities (the mean over an image and its mirror image), so a temperature T acts on their
  logarithms: p ~ p^(1/T), which is the usual softmax(logits / T) (Guo et al., ICML 2017) where nothing was averaged.
- The prior pi implied by the probabilities is not exactly that of the training batches, so it is fitted on validation images,
  together with a temperature: p ~ p^(1/T) pi_natural / pi (bias-corrected temperature scaling: Alexandari et al., ICML 2020).
- Rare classes have few validation images or none. So the fit is penalised: log T with a Gaussian of unit width about 0, the
  logarithms of the correction about those expected from the sampling (`training_prior`). Thirty images of a class outweigh the
  penalty; with none the expectation is kept.
- That N of N predictions were correct does not make the next one certain. So the labels are smoothed by 1 / (N + 2), one image
  in total (as in Platt, Advances in Large Margin Classifiers, 1999), and few images cannot make T tiny.
- A class without training images has prior 0 and probability 0, whatever the target.
- The prior of unlabelled images is estimated with a pseudo-count of one image distributed as the source prior: with few images
  no class is ruled out, with many it has no effect.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, ndtri, softmax

from balanced_mixup.errors import UsageError
from balanced_mixup.methods import TrainSet
from balanced_mixup.metrics import Array, ArrayOrTensor, checked
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.training.segments import segments_of

if TYPE_CHECKING:
    from balanced_mixup.sampling import Labels

SUM_TOLERANCE = 0.02  # tolerates shares rounded to whole per cents

_LEAST = float(np.finfo(np.float32).tiny)  # replaces probabilities of 0 in logarithms
_CLOSE = 1e-7  # convergence threshold of an estimate


def training_prior(recipe: Recipe, counts: "Labels") -> Array:
    """Return the class prior (K,) induced by the last stage of a training (see `Stage.class_prior`).

    Args:
        recipe: Defines the method and the number of epochs.
        counts: (K,), training images of each class.

    Raises:
        UsageError: No class has an image.
    """
    from balanced_mixup.sampling import checked_counts

    n = checked_counts(counts).astype(np.int64)
    data = TrainSet(np.repeat(np.arange(len(n)), n), len(n), recipe.epochs, recipe.seed)
    return segments_of(recipe.method, data)[-1].class_prior(n)


def with_temperature(probabilities: ArrayOrTensor, temperature: float) -> Array:
    """Return p ~ p^(1/T), float64 (N, K): less confident for T above 1; the order of a row's classes stays.

    Raises:
        UsageError: `probabilities` are invalid, or T is not above 0.
    """
    if not 0 < temperature < np.inf:
        raise UsageError(f"Expected `temperature` to be a number above 0, but got {temperature}.")
    scaled: Array = softmax(_logarithms(_matrix(probabilities)) / temperature, axis=1)
    return scaled


def adjust_prior(probabilities: ArrayOrTensor, source: npt.ArrayLike, target: npt.ArrayLike) -> Array:
    """Return the probabilities (N, K), float64, for the class prior `target` instead of `source`.

    Args:
        probabilities: (N, K), rows summing to 1.
        source: (K,), their current prior.
        target: (K,), their new prior.

    Raises:
        UsageError: An argument is not as described, or a class has target above 0 but source 0.
    """
    p = _matrix(probabilities)
    factors = _ratio(_prior("source", source, p.shape[1]), _prior("target", target, p.shape[1]))
    weighed = np.maximum(p, _LEAST) * factors
    corrected: Array = weighed / weighed.sum(1, keepdims=True)
    return corrected


def fit_temperature(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Return the temperature that makes the labels `y` (N,) most likely, penalised as described above."""
    labels, p, _ = checked(y, probabilities, None)
    return _fit(labels, _logarithms(p), np.zeros(p.shape[1]), biased=False)[0]


def fit_prior(
    y: ArrayOrTensor, probabilities: ArrayOrTensor, natural: npt.ArrayLike, expected: npt.ArrayLike
) -> tuple[float, Array]:
    """Return the temperature, and the prior float64 (K,) implied by the probabilities at that temperature.

    `adjust_prior(with_temperature(p, temperature), prior, natural)` are then the probabilities for the natural prior.

    Args:
        y: Integers (N,), labels of validation images. Those of classes without training images are ignored.
        probabilities: (N, K), uncorrected.
        natural: (K,), the prior of images like these: that of the training split.
        expected: (K,), the prior expected from the training.

    Raises:
        UsageError: An argument is not as described.
    """
    labels, p, _ = checked(y, probabilities, None)
    goal, start = _prior("natural", natural, p.shape[1]), _prior("expected", expected, p.shape[1])
    trained = (goal > 0) & (start > 0)
    known = trained[labels]
    place = np.cumsum(trained) - 1
    logs = _logarithms(p[known][:, trained])
    temperature, bias = _fit(place[labels[known]], logs, np.log(goal[trained] / start[trained]), biased=True)
    prior = np.zeros(p.shape[1])
    prior[trained] = softmax(np.log(goal[trained]) - bias)
    return temperature, prior


@dataclass(frozen=True)
class EstimatedPrior:
    """The estimated class prior of unlabelled images.

    prior: float64 (K,), sums to 1. low, high: (K,), the ends of its interval. converged: False where the iteration was stopped
    before convergence; the estimate is then unreliable.
    """

    prior: Array
    low: Array
    high: Array
    converged: bool


def estimate_prior(
    probabilities: ArrayOrTensor, source: npt.ArrayLike, *, level: float = 0.95, max_steps: int = 5000
) -> EstimatedPrior:
    """Estimate the class prior of images without labels, by expectation maximisation (Saerens et al. 2002, Eqs. 9 and 10).

    It is the maximum-likelihood prior; it is valid where only the class prior differs from that of the images used for
    calibration. A step: new prior = mean of adjust_prior(p, source, prior), with one more image distributed as `source`.

    Args:
        probabilities: (N, K), calibrated; rows summing to 1.
        source: (K,), their prior.
        level: Of the interval, a Gaussian one from the observed information, clipped to [0, 1]; assumes independent images.
        max_steps: Maximum number of iterations.

    Raises:
        UsageError: An argument is not as described, or there is no image.
    """
    p = _matrix(probabilities)
    origin = _prior("source", source, p.shape[1])
    if max_steps < 1 or not 0 < level < 1:
        raise UsageError(f"Expected `max_steps` >= 1 and `level` between 0 and 1, but got {max_steps} and {level}.")
    ratios = np.divide(p, origin, out=np.zeros_like(p), where=origin > 0)
    prior, moved = origin, np.inf
    for _ in range(max_steps):
        evidence = np.maximum(ratios @ prior, _LEAST)
        after = (prior * (ratios.T @ (1 / evidence)) + origin) / (len(p) + 1)
        moved, prior = float(np.abs(after - prior).max()), after / after.sum()
        if moved < _CLOSE:
            break
    half = float(ndtri((1 + level) / 2)) * _standard_errors(ratios, prior, origin)
    return EstimatedPrior(prior, np.clip(prior - half, 0, 1), np.clip(prior + half, 0, 1), moved < _CLOSE)


def _standard_errors(ratios: Array, prior: Array, origin: Array) -> Array:
    """Return the standard errors (K,) of the estimate, from the curvature of the log-likelihood among priors that sum to 1."""
    trained = origin > 0
    slopes = ratios[:, trained] / np.maximum(ratios @ prior, _LEAST)[:, None]
    inverse = np.linalg.inv(slopes.T @ slopes + np.diag(origin[trained] / prior[trained] ** 2))
    rows = inverse.sum(1)
    errors = np.zeros(len(prior))
    errors[trained] = np.sqrt(np.maximum(0, np.diag(inverse) - rows**2 / rows.sum()))
    return errors


def _fit(labels: npt.NDArray[np.int64], logs: Array, expected: Array, *, biased: bool) -> tuple[float, Array]:
    """Minimise -sum t log softmax(logs / T + b) + (|b - expected|^2 + log(T)^2) / 2 over T and, if `biased`, b (K,).

    t (N, K) are the smoothed labels.
    """
    images, classes = logs.shape
    smoothing = 1 / (images + 2)
    truth = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes

    def cost(x: Array) -> tuple[float, Array]:
        scaled = logs * np.exp(-x[0])
        log_p = log_softmax(scaled + (expected + x[1:] if biased else expected), axis=1)
        excess = np.exp(log_p) - truth
        slope = np.concatenate([[-(excess * scaled).sum()], excess.sum(0) if biased else []])
        return float(x @ x / 2 - (truth * log_p).sum()), slope + x

    from scipy.optimize import minimize  # a third of a second, which every command would wait for that opens a run

    optimum = minimize(cost, np.zeros(1 + biased * classes), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    return float(np.exp(optimum.x[0])), expected + optimum.x[1:] if biased else expected


def _ratio(source: Array, target: Array) -> Array:
    if (untrained := np.flatnonzero((source == 0) & (target > 0))).size:
        raise UsageError(
            f"Expected a share of 0 for classes that the model was never trained on (position {untrained[0]}), "
            f"but got {target[untrained[0]]:g}."
        )
    return np.divide(target, source, out=np.zeros_like(target), where=source > 0)


def _prior(name: str, values: npt.ArrayLike, classes: int) -> Array:
    """Check a prior and return it as float64 (K,) that sums to 1."""
    prior = np.asarray(values, np.float64)
    if prior.shape != (classes,) or not np.isfinite(prior).all() or prior.min() < 0 or abs(prior.sum() - 1) > SUM_TOLERANCE:
        raise UsageError(
            f"Expected `{name}` to be {classes} shares >= 0 that sum to 1, but got "
            f"{np.array2string(prior, threshold=10, precision=4)} (sum {prior.sum():g})."
        )
    checked: Array = prior / prior.sum()
    return checked


def _matrix(probabilities: ArrayOrTensor) -> Array:
    """Validate probabilities without labels."""
    return checked(np.zeros(len(probabilities), np.int64), probabilities, None)[1]


def _logarithms(p: Array) -> Array:
    logs: Array = np.log(np.maximum(p, _LEAST))
    return logs
