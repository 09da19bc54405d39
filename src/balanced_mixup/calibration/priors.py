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
- Rare classes have few validation images or none. So the fit is penalised (see `scaling`), the logarithms of the correction
  about those expected from the sampling (`training_prior`). Thirty images of a class outweigh the penalty; with none the
  expectation is kept.
- A class without training images has prior 0 and probability 0, whatever the target.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from balanced_mixup.calibration.scaling import LEAST, Scaling, ScalingProblem, logarithms
from balanced_mixup.errors import UsageError
from balanced_mixup.methods import TrainSet
from balanced_mixup.metrics import Array, ArrayOrTensor, checked
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.training.segments import segments_of

if TYPE_CHECKING:
    from balanced_mixup.sampling import Labels

SUM_TOLERANCE = 0.02  # tolerates shares rounded to whole per cents


def training_prior(recipe: Recipe, counts: "Labels") -> Array:
    """Return the class prior (K,) of a trained model: that of its last stage (`Stage.class_prior`), as its method finishes it.

    Args:
        recipe: Defines the method and the number of epochs.
        counts: (K,), training images of each class.

    Raises:
        UsageError: No class has an image.
    """
    from balanced_mixup.sampling import checked_counts

    n = checked_counts(counts).astype(np.int64)
    data = TrainSet(np.repeat(np.arange(len(n)), n), len(n), recipe.epochs, recipe.seed)
    prior: Array = recipe.method.finished_prior(segments_of(recipe.method, data)[-1].class_prior(n))
    return prior


def with_temperature(probabilities: ArrayOrTensor, temperature: float) -> Array:
    """Return p ~ p^(1/T), float64 (N, K): less confident for T above 1; the order of a row's classes stays.

    Raises:
        UsageError: `probabilities` are invalid, or T is not above 0.
    """
    if not 0 < temperature < np.inf:
        raise UsageError(f"Expected `temperature` to be a number above 0, but got {temperature}.")
    scaled: Array = softmax(logarithms(checked_rows(probabilities)) / temperature, axis=1)
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
    p = checked_rows(probabilities)
    factors = _ratio(checked_prior("source", source, p.shape[1]), checked_prior("target", target, p.shape[1]))
    weighed = np.maximum(p, LEAST) * factors
    corrected: Array = weighed / weighed.sum(1, keepdims=True)
    return corrected


def temperature_problem(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> ScalingProblem:
    """Return the problem whose solution without biases is the temperature for labels `y` (N,) and probabilities (N, K)."""
    labels, p, _ = checked(y, probabilities, None)
    return ScalingProblem(labels, logarithms(p), np.zeros(p.shape[1]))


def fit_temperature(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Return the temperature that makes the labels `y` (N,) most likely, penalised as described in `scaling`."""
    return temperature_problem(y, probabilities).fit(bias=False).temperature


@dataclass(frozen=True)
class PriorProblem:
    """The problem whose solution is a temperature and the prior implied by probabilities at that temperature.

    problem: Of the images and classes that are known. known: (N,), which images are of classes with training images.
    trained: (K,), which classes have them. natural: (K,), the prior of images like these.
    """

    problem: ScalingProblem
    known: npt.NDArray[np.bool_]
    trained: npt.NDArray[np.bool_]
    natural: Array

    @classmethod
    def of(cls, y: ArrayOrTensor, probabilities: ArrayOrTensor, natural: npt.ArrayLike, expected: npt.ArrayLike) -> Self:
        """Return the problem of `fit_prior`, whose arguments and errors these are."""
        labels, p, _ = checked(y, probabilities, None)
        goal, start = checked_prior("natural", natural, p.shape[1]), checked_prior("expected", expected, p.shape[1])
        trained = (goal > 0) & (start > 0)
        known = trained[labels]
        place = np.cumsum(trained) - 1
        logs = logarithms(p[known][:, trained])
        return cls(ScalingProblem(place[labels[known]], logs, np.log(goal[trained] / start[trained])), known, trained, goal)

    def prior(self, scaling: Scaling) -> Array:
        """Return the prior float64 (K,) that a scaling says the probabilities have."""
        prior = np.zeros(len(self.natural))
        prior[self.trained] = softmax(np.log(self.natural[self.trained]) - scaling.bias)
        return prior


def fit_prior(
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    natural: npt.ArrayLike,
    expected: npt.ArrayLike,
    *,
    temperature: bool = True,
) -> tuple[float, Array]:
    """Return the temperature, and the prior float64 (K,) implied by the probabilities at that temperature.

    `adjust_prior(with_temperature(p, temperature), prior, natural)` are then the probabilities for the natural prior.

    Args:
        y: Integers (N,), labels of validation images. Those of classes without training images are ignored.
        probabilities: (N, K), uncorrected.
        natural: (K,), the prior of images like these: that of the training split.
        expected: (K,), the prior expected from the training.
        temperature: Fit the temperature; otherwise it is 1.

    Raises:
        UsageError: An argument is not as described.
    """
    problem = PriorProblem.of(y, probabilities, natural, expected)
    scaling = problem.problem.fit(temperature=temperature)
    return scaling.temperature, problem.prior(scaling)


def _ratio(source: Array, target: Array) -> Array:
    if (untrained := np.flatnonzero((source == 0) & (target > 0))).size:
        raise UsageError(
            f"Expected a share of 0 for classes that the model was never trained on (position {untrained[0]}), "
            f"but got {target[untrained[0]]:g}."
        )
    return np.divide(target, source, out=np.zeros_like(target), where=source > 0)


def checked_prior(name: str, values: npt.ArrayLike, classes: int) -> Array:
    """Check a prior and return it as float64 (K,) that sums to 1."""
    prior = np.asarray(values, np.float64)
    if prior.shape != (classes,) or not np.isfinite(prior).all() or prior.min() < 0 or abs(prior.sum() - 1) > SUM_TOLERANCE:
        raise UsageError(
            f"Expected `{name}` to be {classes} shares >= 0 that sum to 1, but got "
            f"{np.array2string(prior, threshold=10, precision=4)} (sum {prior.sum():g})."
        )
    checked: Array = prior / prior.sum()
    return checked


def checked_rows(probabilities: ArrayOrTensor) -> Array:
    """Validate probabilities without labels."""
    return checked(np.zeros(len(probabilities), np.int64), probabilities, None)[1]
