"""The correction of a run's probabilities: fitted on its validation split, stored with it, and applied to its predictions."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator

from balanced_mixup.calibration.class_prior import PRIORS, TargetPrior, rare_classes, read_prior
from balanced_mixup.calibration.priors import (
    adjust_prior,
    estimate_prior,
    fit_prior,
    fit_temperature,
    training_prior,
    with_temperature,
)
from balanced_mixup.calibration.scores import CalibrationScores
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.training.recipe import Recipe

log = logging.getLogger("balanced_mixup")

Prior = dict[str, float]
Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


def _scores(content: Any) -> CalibrationScores:
    try:
        return content if isinstance(content, CalibrationScores) else CalibrationScores.from_dict(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected calibration scores, but got {error!r}") from None


class Correction(BaseModel):
    """The fitted temperature and class prior of a run; `calibration.json`.

    images: number of validation images it was fitted on. temperature: p^(1/temperature) is calibrated, with the same predicted
    class. prior_temperature, model_prior: p^(1/prior_temperature) has the class prior model_prior (see `prior`).
    expected_prior: the prior expected from the sampling. train_prior: that of the training split. scores: calibration of each
    split ("val", "test"): "stored" (uncorrected), with "temperature", and corrected to the prior "train".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = 1
    images: int
    temperature: float
    prior_temperature: float
    model_prior: Prior
    expected_prior: Prior
    train_prior: Prior
    scores: Mapping[
        str,
        Mapping[str, Annotated[CalibrationScores, PlainValidator(_scores), PlainSerializer(lambda scores: scores.to_dict())]],
    ] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return tuple(self.train_prior)

    @property
    def rare(self) -> list[int]:
        """The rare classes of the training split, the rarest first (see `rare_classes`)."""
        return rare_classes(list(self.train_prior.values()))

    @classmethod
    def fit(cls, y: Labels, probabilities: Probabilities, classes: tuple[str, ...], recipe: Recipe, counts: Labels) -> Self:
        """Fit the correction.

        Args:
            y: Labels (N,) of the validation split.
            probabilities: (N, K), uncorrected.
            classes: K names.
            recipe: Recipe of the run.
            counts: (K,), training images of each class.

        Raises:
            UsageError: There is no validation image.
        """
        if not len(y):
            raise UsageError("Expected predictions of validation images to calibrate on, but there are none.")
        natural, expected = counts / counts.sum(), training_prior(recipe, counts)
        temperature, prior = fit_prior(y, probabilities, natural, expected)
        return cls(
            images=len(y),
            temperature=fit_temperature(y, probabilities),
            prior_temperature=temperature,
            model_prior=_by_class(classes, prior),
            expected_prior=_by_class(classes, expected),
            train_prior=_by_class(classes, natural),
        )

    def apply(self, probabilities: Probabilities, target: TargetPrior | None = None) -> Probabilities:
        """Return stored probabilities (N, K) corrected to the class prior `target`, which can change the predicted classes.

        Without a target only the fitted temperature is applied, which keeps the predicted classes.
        """
        if target is None:
            return with_temperature(probabilities, self.temperature).astype(np.float32)
        source = np.array(list(self.model_prior.values()))
        tempered = with_temperature(probabilities, self.prior_temperature)
        return adjust_prior(tempered, source, target.shares).astype(np.float32)

    def prior(self, name: str) -> TargetPrior | None:
        """Return a class prior by name: "train", "uniform" or a CSV file; None for "estimate", which needs images.

        Raises:
            UsageError: It is none of these, or the file is invalid (see `read_prior`).
            DataError: The file is not a table.
        """
        train = np.array(list(self.train_prior.values()))
        if name == "train":
            return TargetPrior(name, train)
        if name == "uniform":
            return TargetPrior(name, (train > 0) / (train > 0).sum())
        if name == "estimate":
            return None
        if not Path(name).is_file():
            raise UsageError(
                f"Expected `prior` to be {', '.join(PRIORS)} or a CSV file with the columns class and share, but there is no "
                f"file {name!r}.{nearest(name, PRIORS)}"
            )
        shares = read_prior(Path(name), self.classes)
        untrained = [
            name for name, wanted, trained in zip(self.classes, shares, train, strict=True) if wanted > 0 and trained == 0
        ]
        if untrained:
            raise UsageError(
                f"Expected a share of 0 for classes without training images, but got more for: {', '.join(untrained)}."
            )
        return TargetPrior(name, shares)

    def estimate(self, probabilities: Probabilities) -> TargetPrior:
        """Return the maximum-likelihood class prior of stored probabilities (N, K); warns where it is unreliable."""
        train = np.array(list(self.train_prior.values()))
        estimated = estimate_prior(self.apply(probabilities, TargetPrior("train", train)), train)
        if not estimated.converged:
            log.warning("The estimate of the class prior has not converged and is unreliable.")
        return TargetPrior("estimate", estimated.prior, estimated.low, estimated.high, estimated.converged)

    def score(
        self, y: Labels, probabilities: Probabilities, groups: npt.NDArray[np.str_] | None, replicates: int = 2000
    ) -> CalibrationScores:
        """Return calibration scores of probabilities (N, K) for the labels `y` (N,).

        A score that is constant over all replicates has no interval. Neither has a calibration error where all images
        are of one class: no replicate contains another class, so its variance would be underestimated.
        """
        return CalibrationScores.of(y, probabilities, groups, self.classes, self.rare, replicates)

    def score_stages(
        self, y: Labels, probabilities: Probabilities, groups: npt.NDArray[np.str_] | None
    ) -> dict[str, CalibrationScores]:
        """Return the scores of probabilities "stored" (uncorrected), with "temperature", and corrected to the prior "train"."""
        corrected = {
            "stored": probabilities,
            "temperature": self.apply(probabilities),
            "train": self.apply(probabilities, self.prior("train")),
        }
        return {name: self.score(y, each, groups) for name, each in corrected.items()}


def _by_class(names: tuple[str, ...], values: npt.NDArray[np.floating[Any]]) -> Prior:
    return dict(zip(names, values.tolist(), strict=True))
