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
- Bins hold equally many images (Nixon et al. 2019), with edges as in scikit-learn's `calibration_curve(strategy="quantile")`:
  equal widths leave most bins of a rare class empty. Classwise ECE with such bins is Nixon's adaptive calibration error. There
  are 15 bins (Guo et al. 2017), fewer where a bin would have fewer than 10 images.
- ECE is biased upwards: chance alone makes the shares of finite bins differ from the probabilities, the more the fewer images
  there are (Kumar et al. 2019). `ece_by_chance` is the expected ECE of a perfectly calibrated model with as many
  images; an ECE near it is no evidence of miscalibration. The same bias moves every draw of the bootstrap up once more, so the
  interval of an ECE is the one reflected at its value (Davison and Hinkley 1997, Section 5.2: the basic bootstrap), from 0 at
  the lowest to the value itself at least; those of Brier score and log loss are percentiles, as elsewhere.
- A bootstrap draw keeps the bins of the images themselves.
- Every draw sums each image once for each class. Where that would be more than 2^32 sums (20,000 images of 100 classes: 2,000
  draws are 4 x 10^9), the classwise errors get fewer draws, 200 at least.

Naeini et al., AAAI 2015 (ECE). Guo et al., ICML 2017. Nixon et al., CVPR workshops 2019. Kull et al., NeurIPS 2019 (classwise).
Kumar et al., NeurIPS 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array, ArrayOrTensor, checked
from balanced_mixup.statistics.bootstrap import CHUNK_ENTRIES, Replicates, draws_of, units_of
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.statistics.paired_tests import wilson

BINS = 15

_IMAGES_A_BIN = 10
_BLOCK = 64  # classes whose classwise ECE is computed together
_MOST_SUMS = 2**32  # images x classes x draws of the classwise ECE; with more there are fewer draws, but not under:
_LEAST_DRAWS = 200
_AT_ONCE = 64  # draws in one sparse product, whose sums stay in the processor's cache
_LARGER = 4  # chunks of draws where there are several blocks, for each of which all images are sorted again by each class
_LEAST = np.finfo(np.float64).eps  # lower bound of probabilities in the log loss, as in scikit-learn


@dataclass(frozen=True)
class CalibrationScores:
    """Calibration scores of probabilities, each with its 95 % interval; NaN where undefined.

    metrics: "ece", "classwise_ece" (mean over the classes), "rare_ece" (only where there are rare classes), "brier" and
    "log_loss". ece_by_chance: see the function of that name. per_class: the classwise ECE of each class.
    """

    metrics: Mapping[str, Interval]
    ece_by_chance: float
    per_class: Mapping[str, Interval]

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

        A score that is constant over all replicates has no interval. Neither has a calibration error where all images
        are of one class: no replicate contains another class, so its variance would be underestimated.
        """
        one_class = len(np.unique(y)) == 1
        scores = {
            name: Interval(score.value) if one_class and "ece" in name else score.unless_constant()
            for name, score in calibration_scores(y, probabilities, groups, rare=rare, replicates=replicates).items()
        }
        per_class = {name: scores.pop(f"ece_{k}") for k, name in enumerate(classes)}
        return cls(scores, ece_by_chance(y, probabilities), per_class)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores for JSON; NaN is None."""
        return {
            **{name: score.to_dict() for name, score in self.metrics.items()},
            "ece_by_chance": self.ece_by_chance,
            "per_class": {name: score.to_dict() for name, score in self.per_class.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError or ValueError where it is something else."""
        return cls(
            {name: Interval.from_dict(score) for name, score in content.items() if name not in ("ece_by_chance", "per_class")},
            float(content["ece_by_chance"]),
            {name: Interval.from_dict(score) for name, score in content["per_class"].items()},
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
    """Return calibration scores of probabilities, each with its interval.

    Args:
        y: Integers (N,), labels 0 ... K - 1.
        probabilities: (N, K), rows summing to 1.
        groups: (N,), the patient ... of each image; whole groups are drawn, the same as by `bootstrap`.
        rare: The classes whose mean classwise ECE is "rare_ece".
        bins: Maximum number of bins.
        replicates, level, seed: As in `bootstrap`.

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
    used, units = _usable(bins, len(p)), units_of(len(labels), groups)
    terms = _image_terms(labels, p, used)
    whole = _image_scores(terms, None, used), _classwise(labels, p, used, None)
    if units.max() == 0:
        drawn = np.full((3, replicates), np.nan), np.full((replicates, p.shape[1]), np.nan)
    else:
        fewer = min(replicates, max(_LEAST_DRAWS, _MOST_SUMS // p.size))
        chunk = (_LARGER if p.shape[1] > _BLOCK else 1) * CHUNK_ENTRIES // len(p)
        of_images, by_class = [], []
        for number, weights in enumerate(draws_of(units, replicates, max(1, chunk), seed)):
            of_images.append(_image_scores(terms, weights, used))
            if (done := number * max(1, chunk)) < fewer:
                by_class.append(_classwise(labels, p, used, weights[: fewer - done]))
        drawn = np.concatenate(of_images, axis=1), np.concatenate(by_class)

    def named(of_images: Array, classwise: Array) -> dict[str, Array]:
        top, brier, loss = of_images
        means = {"ece": top, "classwise_ece": classwise.mean(-1)}
        if rare:
            means["rare_ece"] = classwise[..., list(rare)].mean(-1)
        return {**means, "brier": brier, "log_loss": loss, **{f"ece_{k}": classwise[..., k] for k in range(p.shape[1])}}

    replicated = Replicates({name: float(value) for name, value in named(*whole).items()}, named(*drawn))
    intervals = {name: replicated.interval(name, level) for name in replicated.values}
    return {name: _reflected(interval) if "ece" in name else interval for name, interval in intervals.items()}


def ece(y: ArrayOrTensor, probabilities: ArrayOrTensor, bins: int = BINS) -> float:
    """Return the expected calibration error of the predicted class, sum_b n_b / N |share right - mean probability|."""
    return float(_plain_scores(y, probabilities, bins)[0])


def classwise_ece(y: ArrayOrTensor, probabilities: ArrayOrTensor, bins: int = BINS) -> Array:
    """Return the calibration error of each class's probability, float64 (K,): the bins are of that probability, over all N."""
    labels, p, _ = checked(y, probabilities, None)
    return _classwise(labels, p, _usable(bins, len(p)), None)


def brier(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Return the mean over images of the sum over the K classes of (p_k - 1{y = k})^2, from 0 to 2."""
    return float(_plain_scores(y, probabilities, 1)[1])


def log_loss(y: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Return the mean over images of -log p_y."""
    return float(_plain_scores(y, probabilities, 1)[2])


def ece_by_chance(y: ArrayOrTensor, probabilities: ArrayOrTensor, bins: int = BINS) -> float:
    """Return the approximate ECE of these probabilities if they were perfectly calibrated and images independent.

    In a bin, the number of correct predictions then has variance V = sum p (1 - p), and its mean absolute deviation is
    sqrt(2 V / pi) (normal approximation).
    """
    _, p, _ = checked(y, probabilities, None)
    confidence = p.max(1)
    variance = np.bincount(_bins_of(confidence, _usable(bins, len(p))), confidence * (1 - confidence))
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
    table = pd.DataFrame({"bin": _bins_of(value, _usable(bins, len(p))), "confidence": value, "accuracy": right})
    table["unit"] = units_of(len(p), groups)
    rows = table.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "unit": "nunique"}).reset_index(drop=True)
    rows["low"], rows["high"] = wilson(rows["accuracy"].to_numpy(), rows.pop("unit").to_numpy(), level)
    rows["count"] = table["bin"].value_counts().sort_index().to_numpy()
    return rows


def _usable(bins: int, images: int) -> int:
    if bins < 1:
        raise UsageError(f"Expected `bins` to be at least 1, but got {bins}.")
    return max(1, min(bins, images // _IMAGES_A_BIN))


def _bins_of(values: Array, bins: int) -> npt.NDArray[np.int64]:
    """Return the bin, from 0, of each of the values (N,); equal values are in the same bin, so bins can be empty."""
    edges = np.sort(values)[(len(values) - 1) * np.arange(1, bins) // bins]  # the last value of each bin
    return np.searchsorted(edges, values).astype(np.int64)


def _image_terms(labels: npt.NDArray[np.int64], p: Array, bins: int) -> sparse.csr_array:
    """Return the contribution of each image to each sum, (N, bins + 2); the scores are functions of weighted sums of rows.

    Probability - truth of the predicted class, in its bin; Brier score; log loss.
    """
    everyone, predicted = np.arange(len(p)), p.argmax(1)
    confidence, of_label = p[everyone, predicted], p[everyone, labels]
    terms = np.zeros((len(p), bins + 2))
    terms[everyone, _bins_of(confidence, bins)] = confidence - (predicted == labels)
    terms[:, -2] = (p**2).sum(1) - of_label**2 + (of_label - 1) ** 2
    terms[:, -1] = -np.log(np.clip(of_label, _LEAST, 1))
    return sparse.csr_array(terms)


def _image_scores(terms: sparse.csr_array, weights: Array | None, bins: int) -> Array:
    """Return ECE, Brier score and log loss, (3, ...), for weights (..., N)."""
    w = np.ones(terms.shape[0]) if weights is None else weights
    means = (terms.T @ w.T).T / w.sum(-1, keepdims=True)
    return np.stack([np.abs(means[..., :bins]).sum(-1), means[..., -2], means[..., -1]])


def _classwise(labels: npt.NDArray[np.int64], p: Array, bins: int, weights: Array | None) -> Array:
    """Return the classwise ECE, (..., K), for weights (..., N)."""
    w = np.ones(len(p)) if weights is None else weights

    def of_block(start: int) -> Array:
        part = p[:, start : start + _BLOCK]
        images, classes = part.shape
        gaps = part - (labels[:, None] == np.arange(start, start + classes))
        place = np.column_stack([_bins_of(column, bins) for column in part.T]) + bins * np.arange(classes)
        rows = classes * np.arange(images + 1)
        binned = sparse.csr_array((gaps.ravel(), place.ravel(), rows), (images, classes * bins))
        parts = [w] if w.ndim == 1 else np.split(w, range(_AT_ONCE, len(w), _AT_ONCE))
        sums = np.concatenate([(binned.T @ part.T).T for part in parts])
        errors: Array = np.abs(sums / w.sum(-1, keepdims=True)).reshape(*w.shape[:-1], classes, bins).sum(-1)
        return errors

    return np.concatenate([of_block(start) for start in range(0, p.shape[1], _BLOCK)], axis=-1)


def _plain_scores(y: ArrayOrTensor, probabilities: ArrayOrTensor, bins: int) -> Array:
    labels, p, _ = checked(y, probabilities, None)
    used = _usable(bins, len(p))
    return _image_scores(_image_terms(labels, p, used), None, used)


def _reflected(interval: Interval) -> Interval:
    """Turn the percentile interval of an upwards biased score into the basic one."""
    value, low, high = interval.value, interval.low, interval.high
    return Interval(value, float(np.maximum(0, 2 * value - high)), float(np.maximum(value, 2 * value - low)))
