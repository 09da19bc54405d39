"""Are probabilities calibrated? Of all images predicted as melanoma with 80 %, 80 % should be melanomas.

=====================  ==========================================================================================
ECE                    mean distance between confidence (probability of the predicted class) and accuracy
classwise ECE          the same for the probability of each class, predicted or not; mean over classes
Brier score            sum over the classes of (probability - truth)^2, mean over images: from 0 to 2 (Brier 1950)
log loss               mean of -log of the probability of the true class
=====================  ==========================================================================================

All are better when lower. Brier score and log loss are proper: they are minimised by the true probabilities.
With two classes this Brier score is twice the usual one for a single class.

Notable decisions
- Bins hold equally many images (see `bins`). Classwise ECE with such bins is Nixon's adaptive calibration error. There are 15
  bins, fewer where a bin would have fewer than 10 images.
- ECE is biased upwards: chance alone makes the shares of finite bins differ from the probabilities, the more the fewer images
  there are (Kumar et al. 2019). `ece_by_chance` is the expected ECE of a perfectly calibrated model with as many images. So
  calibration errors have no interval, which would hardly ever reach 0, but the p-value of a test whether they could be chance
  (see `consistency`); Brier score and log loss have percentile intervals, as other scores.

Naeini et al., AAAI 2015 (ECE). Nixon et al., CVPR workshops 2019. Kull et al., NeurIPS 2019 (classwise). Kumar et al., NeurIPS
2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.calibration.bins import BINS, bins_of, usable_bins
from balanced_mixup.calibration.consistency import consistency_p_values
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array, ArrayOrTensor, checked
from balanced_mixup.statistics.bootstrap import CHUNK_ENTRIES, Replicates, draws_of, units_of
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.paired_tests import wilson

_LEAST = np.finfo(np.float64).eps  # lower bound of probabilities in the log loss, as in scikit-learn


@dataclass(frozen=True)
class CalibrationScores:
    """Calibration scores of probabilities.

    metrics: "ece", "classwise_ece" (mean over the classes), "rare_ece" (only where there are rare classes), "brier" and
    "log_loss", the last two with their 95 % interval, NaN where undefined. ece_by_chance: see the function of that name.
    per_class: the classwise ECE of each class. p_values: of the first three (see `consistency`). Scores that older versions
    stored have intervals of all scores, and no p-values.
    """

    metrics: Mapping[str, Interval]
    ece_by_chance: float
    per_class: Mapping[str, Interval]
    p_values: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        y: npt.NDArray[np.int64],
        probabilities: npt.NDArray[np.floating[Any]],
        groups: npt.NDArray[np.str_] | None,
        classes: Sequence[str],
        rare: Sequence[int] = (),
        replicates: int = 2000,
    ) -> Self:
        """Return the scores of probabilities (N, K) for the labels `y` (N,), the `rare` ones of the K classes together, too.

        A score that is constant over all replicates has no interval.
        """
        found = calibration_scores(y, probabilities, groups, rare=rare, replicates=replicates)
        scores = {name: score.unless_constant() for name, score in found.items()}
        per_class = {name: scores.pop(f"ece_{k}") for k, name in enumerate(classes)}
        p_values = consistency_p_values(y, probabilities, groups, rare=rare)
        return cls(scores, ece_by_chance(y, probabilities), per_class, p_values)

    def p_text(self, name: str) -> str:
        """Return ", p = 0.012" for a score of `metrics` that has a p-value, "" for another one."""
        return f", p = {self.p_values[name]:.3f}" if name in self.p_values else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the scores for JSON; NaN is None."""
        return {
            **{
                name: {**score.to_dict(), **({"p_value": self.p_values[name]} if name in self.p_values else {})}
                for name, score in self.metrics.items()
            },
            "ece_by_chance": self.ece_by_chance,
            "per_class": {name: score.to_dict() for name, score in self.per_class.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError or ValueError where it is something else."""
        scores = {name: score for name, score in content.items() if name not in ("ece_by_chance", "per_class")}
        return cls(
            {name: Interval.from_dict(score) for name, score in scores.items()},
            float(content["ece_by_chance"]),
            {name: Interval.from_dict(score) for name, score in content["per_class"].items()},
            {name: float(score["p_value"]) for name, score in scores.items() if "p_value" in score},
        )


def calibration_scores(
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    rare: Sequence[int] = (),
    bins: int = BINS,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return calibration scores of probabilities; Brier score and log loss have an interval, calibration errors have none.

    Args:
        y: Integers (N,), labels 0 ... K - 1.
        probabilities: (N, K), rows summing to 1.
        groups: (N,), the patient ... of each image; whole groups are drawn, the same as by `bootstrap`.
        rare: The classes whose mean classwise ECE is "rare_ece".
        bins: Maximum number of bins.
        replicates, level, seed: Of the intervals, as in `bootstrap`.

    Returns:
        "ece", "classwise_ece" (mean over the K classes), "rare_ece" (where there are `rare`), "brier", "log_loss", and "ece_0"
        ... "ece_{K-1}", the classwise ECE of each class.

    Raises:
        UsageError: An argument is not as described.
    """
    labels, p, _ = checked(y, probabilities, None)
    if replicates < 1:
        raise UsageError(f"Expected `replicates` to be at least 1, but got {replicates}.")
    if any(not 0 <= k < p.shape[1] for k in rare):
        raise UsageError(f"Expected `rare` to be classes from 0 to {p.shape[1] - 1}, but got {list(rare)}.")
    units, terms = units_of(len(labels), groups), _terms(labels, p)
    if units.max() == 0:
        drawn = np.full((replicates, 2), np.nan)
    else:
        chunk = max(1, CHUNK_ENTRIES // len(p))
        weights = draws_of(units, replicates, chunk, seed)
        drawn = np.concatenate([(each @ terms) / each.sum(1, keepdims=True) for each in weights])
    names = ("brier", "log_loss")
    means = dict(zip(names, terms.mean(0).tolist(), strict=True))
    proper = Replicates(means, dict(zip(names, drawn.T, strict=True)))
    by_class = classwise_ece(labels, p, bins)
    errors = {"ece": ece(labels, p, bins), "classwise_ece": float(by_class.mean())}
    if rare:
        errors["rare_ece"] = float(by_class[list(rare)].mean())
    return {
        **{name: Interval(error) for name, error in errors.items()},
        **{name: proper.interval(name, level) for name in names},
        **{f"ece_{k}": Interval(error) for k, error in enumerate(by_class.tolist())},
    }


def ece(y: ArrayOrTensor, probabilities: ArrayOrTensor, bins: int = BINS) -> float:
    """Return the expected calibration error of the predicted class, sum_b n_b / N |share right - mean probability|."""
    labels, p, _ = checked(y, probabilities, None)
    return _error(p.max(1), labels == p.argmax(1), usable_bins(bins, len(p)))


def classwise_ece(y: ArrayOrTensor, probabilities: ArrayOrTensor, bins: int = BINS) -> Array:
    """Return the calibration error of each class's probability, float64 (K,): the bins are of that probability, over all N."""
    labels, p, _ = checked(y, probabilities, None)
    used = usable_bins(bins, len(p))
    return np.array([_error(column, labels == k, used) for k, column in enumerate(p.T)])


def brier(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Return the mean over images of the sum over the K classes of (p_k - 1{y = k})^2, from 0 to 2."""
    labels, p, _ = checked(y, probabilities, None)
    return float(_terms(labels, p)[:, 0].mean())


def log_loss(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Return the mean over images of -log p_y."""
    labels, p, _ = checked(y, probabilities, None)
    return float(_terms(labels, p)[:, 1].mean())


def ece_by_chance(y: ArrayOrTensor, probabilities: ArrayOrTensor, bins: int = BINS) -> float:
    """Return the approximate ECE of these probabilities if they were perfectly calibrated and images independent.

    In a bin, the number of correct predictions then has variance V = sum p (1 - p), and its mean absolute deviation is
    sqrt(2 V / pi) (normal approximation).
    """
    _, p, _ = checked(y, probabilities, None)
    confidence = p.max(1)
    variance = np.bincount(bins_of(confidence, usable_bins(bins, len(p))), confidence * (1 - confidence))
    return float(np.sqrt(2 * variance / np.pi).sum() / len(p))


def reliability(
    y: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    of: int | None = None,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    bins: int = BINS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the points of a reliability diagram.

    Args:
        y, probabilities, groups, bins: As in `calibration_scores`.
        of: The class whose probability is assessed; the predicted one of each image if None.
        level: Of Wilson's interval of the share. With `groups`, a bin counts as many trials as it has groups, as if the images
            of a group counted as one, which is conservative.

    Returns:
        A row for each bin that has images, in order: "confidence" (the mean probability), "accuracy" (the share of images that
        are of the class), "low", "high", "count" (images).

    Raises:
        UsageError: An argument is not as described.
    """
    labels, p, _ = checked(y, probabilities, None)
    if of is not None and not 0 <= of < p.shape[1]:
        raise UsageError(f"Expected `of` to be a class from 0 to {p.shape[1] - 1}, but got {of}.")
    chosen = p.argmax(1) if of is None else np.full(len(p), of)
    value, right = p[np.arange(len(p)), chosen], labels == chosen
    table = pd.DataFrame({"bin": bins_of(value, usable_bins(bins, len(p))), "confidence": value, "accuracy": right})
    table["unit"] = units_of(len(p), groups)
    rows = table.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "unit": "nunique"}).reset_index(drop=True)
    rows["low"], rows["high"] = wilson(rows["accuracy"].to_numpy(), rows.pop("unit").to_numpy(), level)
    rows["count"] = table["bin"].value_counts().sort_index().to_numpy()
    return rows


def _error(values: Array, right: npt.NDArray[np.bool_], bins: int) -> float:
    """Return the mean over bins of |share right - mean value|, weighed by the images in them, for values and `right` (N,)."""
    return float(np.abs(np.bincount(bins_of(values, bins), values - right)).sum() / len(values))


def _terms(labels: npt.NDArray[np.int64], p: Array) -> Array:
    """Return Brier score and log loss of each image, (N, 2)."""
    of_label = p[np.arange(len(p)), labels]
    squares = (p**2).sum(1) - of_label**2 + (of_label - 1) ** 2
    return np.stack([squares, -np.log(np.clip(of_label, _LEAST, 1))], 1)
