"""The fit behind the correction: a temperature T, and a bias b for each class, p ~ p^(1/T) e^b, that make labels likely.

The fit is penalised, as rare classes have few validation images or none: log T with a Gaussian of unit width about 0, b with
one about what is expected. And the labels are smoothed by 1 / (N + 2), one image in total (as in Platt, Advances in Large
Margin Classifiers, 1999): that N of N predictions were correct does not make the next one certain, so few images cannot make T
tiny.

Guo et al., ICML 2017 (temperature). Alexandari et al., ICML 2020 (temperature and bias together).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from balanced_mixup.metrics import Array

LEAST = float(np.finfo(np.float32).tiny)  # replaces probabilities of 0


def logarithms(p: Array) -> Array:
    """Return the logarithms of probabilities, with a finite one for 0."""
    logs: Array = np.log(np.maximum(p, LEAST))
    return logs


@dataclass(frozen=True)
class Scaling:
    """A temperature, above 0, and the biases (K,): p ~ p^(1/temperature) e^bias."""

    temperature: float
    bias: Array


@dataclass(frozen=True)
class ScalingProblem:
    """What a scaling is fitted to.

    labels: (N,). logs: (N, K), logarithms of probabilities. expected: (K,), the biases before any image is seen.
    """

    labels: npt.NDArray[np.int64]
    logs: Array
    expected: Array

    def of_rows(self, rows: npt.NDArray[np.bool_]) -> Self:
        """Return the problem of some of the images, rows (N,)."""
        return type(self)(self.labels[rows], self.logs[rows], self.expected)

    def fit(
        self,
        *,
        temperature: bool = True,
        bias: bool = True,
        weights: Array | None = None,
        pull: Array | None = None,
        start: Scaling | None = None,
    ) -> Scaling:
        """Minimise -sum w t log softmax(logs / T + b) + (|b - expected - pull|^2 + (log T - pull_0)^2) / 2 over T and b.

        Args:
            temperature: Fit T; otherwise it is 1.
            bias: Fit b; otherwise it is `expected`.
            weights: w (N,); 1 each if not given. t (N, K) are the smoothed labels.
            pull: (1 + K,), where the penalty pulls log T and b - expected to; 0 if not given.
            start: The solution of a similar problem, to begin with.
        """
        images, classes = self.logs.shape
        smoothing = 1 / (images + 2)
        truth = (1 - smoothing) * np.eye(classes)[self.labels] + smoothing / classes
        if weights is not None:
            truth *= weights[:, None]
        mass = truth.sum(1, keepdims=True)
        centre = np.zeros(1 + classes) if pull is None else pull
        fitted = np.array([temperature, *[bias] * classes])

        def cost(free: Array) -> tuple[float, Array]:
            x = np.zeros(1 + classes)
            x[fitted] = free
            scaled = self.logs * np.exp(-x[0])
            log_p = log_softmax(scaled + self.expected + x[1:], axis=1)
            excess = np.exp(log_p) * mass - truth
            slope = np.concatenate([[-(excess * scaled).sum()], excess.sum(0)]) + x - centre
            return float(((x - centre)[fitted] ** 2).sum() / 2 - (truth * log_p).sum()), slope[fitted]

        begin = np.zeros(1 + classes)
        if start is not None:
            begin = np.concatenate([[np.log(start.temperature)], start.bias - self.expected])
        if not fitted.any():
            return Scaling(1.0, self.expected)
        from scipy.optimize import minimize  # a third of a second, which every command would wait for that opens a run

        found = np.zeros(1 + classes)
        found[fitted] = minimize(cost, begin[fitted], jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
        return Scaling(float(np.exp(found[0])), self.expected + found[1:])

    def losses(self, scaling: Scaling) -> Array:
        """Return -log p of the label of each image, (N,), at a scaling."""
        log_p = log_softmax(self.logs / scaling.temperature + scaling.bias, axis=1)
        losses: Array = -log_p[np.arange(len(self.labels)), self.labels]
        return losses
