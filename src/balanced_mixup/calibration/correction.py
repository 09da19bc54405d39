"""The correction of a run's probabilities: fitted on its validation split, stored with it, and applied to its predictions."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator

from balanced_mixup.calibration.class_prior import PRIORS, TargetPrior, rare_classes, read_prior
from balanced_mixup.calibration.prior_estimate import estimate_prior, prior_interval
from balanced_mixup.calibration.priors import (
    PriorProblem,
    adjust_prior,
    temperature_problem,
    training_prior,
    with_temperature,
)
from balanced_mixup.calibration.scores import CalibrationScores
from balanced_mixup.calibration.temperature import no_gain, too_few
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.words import counted, listed

log = logging.getLogger("balanced_mixup")

_MOST_NAMES = 6  # of classes in a message
_FEW_GROUPS = 10  # with fewer of a class the simulated coverage is under 0.9

Prior = dict[str, float]
Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]
Groups = npt.NDArray[np.str_]


class LabelledImages(Protocol):
    """Predictions for validation images: labels (N,), uncorrected probabilities (N, K), groups (N,) or None."""

    @property
    def labels(self) -> Labels:
        """The classes, by number."""

    @property
    def probabilities(self) -> Probabilities:
        """As the model made them."""

    @property
    def groups(self) -> Groups | None:
        """The patient ... of each image."""


def _scores(content: Any) -> CalibrationScores:
    try:
        return content if isinstance(content, CalibrationScores) else CalibrationScores.from_dict(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected calibration scores, but got {error!r}") from None


class Correction(BaseModel):
    """The fitted temperature and class prior of a run; `calibration.json`.

    images: number of validation images it was fitted on. temperature: p^(1/temperature) is calibrated, with the same predicted
    class; 1 where the one that fits best, fitted_temperature, is not kept, for the reason temperature_note (see `temperature`).
    prior_temperature, model_prior: p^(1/prior_temperature) has the class prior model_prior (see `prior`);
    prior_temperature_note: likewise. Older versions kept every temperature; the notes are None in their files.
    expected_prior: the prior expected from the sampling. train_prior: that of the training split. scores: calibration of each
    split ("val", "test"): "stored" (uncorrected), with "temperature", and corrected to the prior "train".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = 2
    images: int
    temperature: float
    fitted_temperature: float | None = None
    temperature_note: str | None = None
    prior_temperature: float
    prior_temperature_note: str | None = None
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
    def fit(cls, validation: LabelledImages, classes: tuple[str, ...], recipe: Recipe, counts: Labels) -> Self:
        """Fit the correction.

        Args:
            validation: Predictions for the validation split.
            classes: K names.
            recipe: Recipe of the run.
            counts: (K,), training images of each class.

        Raises:
            UsageError: There is no validation image.
        """
        y, probabilities, groups = validation.labels, validation.probabilities, validation.groups
        if not len(y):
            raise UsageError("Expected predictions of validation images to calibrate on, but there are none.")
        natural, expected = counts / counts.sum(), training_prior(recipe, counts)
        few = too_few(y, classes, natural > 0)
        own, with_prior = temperature_problem(y, probabilities), PriorProblem.of(y, probabilities, natural, expected)
        fitted = own.fit(bias=False).temperature
        note = few or no_gain(own, groups)
        known = None if groups is None else groups[with_prior.known]
        prior_note = few or no_gain(with_prior.problem, known, bias=True)
        scaling = with_prior.problem.fit(temperature=not prior_note)
        return cls(
            images=len(y),
            temperature=1.0 if note else fitted,
            fitted_temperature=fitted,
            temperature_note=note,
            prior_temperature=scaling.temperature,
            prior_temperature_note=prior_note,
            model_prior=_by_class(classes, with_prior.prior(scaling)),
            expected_prior=_by_class(classes, expected),
            train_prior=_by_class(classes, natural),
        )

    def doubt(self, validation: LabelledImages) -> str:
        """Return why the temperature that an older version stored would not be kept today, or ""."""
        if self.temperature_note is not None:
            return ""
        trained = np.array(list(self.train_prior.values())) > 0
        few = too_few(validation.labels, self.classes, trained)
        return few or no_gain(temperature_problem(validation.labels, validation.probabilities), validation.groups)

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

    def require_every_class(self, validation: LabelledImages) -> None:
        """Raise UsageError where the class prior of other images cannot be estimated: a class has no validation image."""
        counts = np.bincount(validation.labels, minlength=len(self.classes))
        shares = zip(self.train_prior.items(), counts, strict=True)
        if missing := [name for (name, share), count in shares if share > 0 and not count]:
            raise UsageError(
                "Expected validation images of every class to estimate a class prior, but there are none of: "
                f"{listed(missing, _MOST_NAMES)}. Give a prior: train, uniform or a CSV file with the columns class and share."
            )

    def estimate(self, validation: LabelledImages, probabilities: Probabilities, groups: Groups | None = None) -> TargetPrior:
        """Return the maximum-likelihood class prior of images, with its interval; warns where it is unreliable.

        Args:
            validation: Predictions for the validation split of the run.
            probabilities: Stored probabilities (N, K) of the images whose prior is wanted.
            groups: (N,), the patient ... of each of them.

        Raises:
            UsageError: A class has no validation image.
        """
        self.require_every_class(validation)
        train, expected = (np.array(list(prior.values())) for prior in (self.train_prior, self.expected_prior))
        estimated = estimate_prior(self.apply(probabilities, TargetPrior("train", train)), train)
        if not estimated.converged:
            log.warning("The estimate of the class prior has not converged and is unreliable.")
        self._warn_of_few_groups(validation)
        problem = PriorProblem.of(validation.labels, validation.probabilities, train, expected)
        low, high = prior_interval(problem, probabilities, estimated.prior, validation.groups, groups)
        return TargetPrior("estimate", estimated.prior, low, high, estimated.converged)

    def _warn_of_few_groups(self, validation: LabelledImages) -> None:
        if validation.groups is None:
            return
        groups = [len(np.unique(validation.groups[validation.labels == k])) for k in range(len(self.classes))]
        few = [f"{name} in {counted(n, 'group')}" for name, n in zip(self.classes, groups, strict=True) if 0 < n < _FEW_GROUPS]
        if few:
            log.warning(
                "The interval of the estimated class prior can be too narrow: it rests on validation images of %s.",
                listed(few, _MOST_NAMES),
            )

    def score(
        self, y: Labels, probabilities: Probabilities, groups: Groups | None, replicates: int = 2000
    ) -> CalibrationScores:
        """Return calibration scores of probabilities (N, K) for the labels `y` (N,).

        A score that is constant over all replicates has no interval.
        """
        return CalibrationScores.of(y, probabilities, groups, self.classes, self.rare, replicates)

    def score_stages(self, y: Labels, probabilities: Probabilities, groups: Groups | None) -> dict[str, CalibrationScores]:
        """Return the scores of probabilities "stored" (uncorrected), with "temperature", and corrected to the prior "train"."""
        corrected = {
            "stored": probabilities,
            "temperature": self.apply(probabilities),
            "train": self.apply(probabilities, self.prior("train")),
        }
        return {name: self.score(y, each, groups) for name, each in corrected.items()}


def _by_class(names: tuple[str, ...], values: npt.NDArray[np.floating[Any]]) -> Prior:
    return dict(zip(names, values.tolist(), strict=True))
