"""The correction of a run's probabilities: fitted on its validation part, stored with it, used wherever it predicts."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from balanced_mixup.calibration.class_prior import PRIORS, TargetPrior, rare_classes, read_shares
from balanced_mixup.calibration.priors import (
    adjust_prior,
    estimate_prior,
    fit_prior,
    fit_temperature,
    training_prior,
    with_temperature,
)
from balanced_mixup.calibration.scores import calibration_scores, ece_by_chance
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.files import write_text
from balanced_mixup.runs.predictions import Predictions, as_json, without_point_interval
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.statistics.bootstrap import Interval
from balanced_mixup.training.recipe import Recipe, load_yaml, make_recipe

log = logging.getLogger("balanced_mixup")

Shares = dict[str, float]


class Correction(BaseModel):
    """What makes a run's probabilities believable; `calibration.json`.

    images: validation images that it was fitted on. temperature: p^(1/temperature) is calibrated, and of the same predicted
    class. prior_temperature, model_prior: p^(1/prior_temperature) carries the prior model_prior (see `prior`). expected_prior:
    what the sampling makes one expect for it. train_prior: the class shares of the training part. scores: of each part ("val",
    "test"), how well calibrated the probabilities are as "stored", with "temperature", and with "train" as their prior.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    images: int
    temperature: float
    prior_temperature: float
    model_prior: Shares
    expected_prior: Shares
    train_prior: Shares
    scores: Mapping[str, Mapping[str, Any]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return tuple(self.train_prior)

    @property
    def rare(self) -> list[int]:
        """The rare classes of the training part, the rarest first (see `rare_classes`)."""
        return rare_classes(list(self.train_prior.values()))

    @classmethod
    def fit(cls, validation: Predictions, recipe: Recipe, counts: npt.NDArray[np.int64]) -> Self:
        """Fit the correction.

        Args:
            validation: Predictions of the validation part.
            recipe: Of the run.
            counts: (K,), training images of each class.

        Raises:
            UsageError: There is no validation image.
        """
        if not validation.images:
            raise UsageError("Expected predictions of validation images to calibrate on, but there are none.")
        natural, expected = counts / counts.sum(), training_prior(recipe, counts)
        temperature, prior = fit_prior(validation.labels, validation.probabilities, natural, expected)
        names = validation.classes
        return cls(
            images=len(validation.images),
            temperature=fit_temperature(validation.labels, validation.probabilities),
            prior_temperature=temperature,
            model_prior=_by_class(names, prior),
            expected_prior=_by_class(names, expected),
            train_prior=_by_class(names, natural),
        )

    @classmethod
    def of(cls, run: RunFolder) -> Self:
        """Return the correction that a run has stored; one fitted now where it was made before they were stored.

        Raises:
            UsageError: The file is damaged, or what to fit it on is missing.
        """
        if run.calibration.is_file():
            try:
                return cls.model_validate_json(run.calibration.read_bytes())
            except (OSError, ValidationError) as error:
                raise UsageError(
                    f"Expected {str(run.calibration)!r} to be a calibration of this version of the program, but: {error}\n"
                    "Delete the file to have it fitted again."
                ) from None
        predictions = Predictions.read(run.predictions)
        try:
            manifest = pd.read_csv(run.manifest, dtype=str, keep_default_na=False)
            labels = manifest.loc[manifest["split"] == "train", "label"]
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(
                f"The run's probabilities cannot be calibrated: its {run.manifest.name} is missing or damaged ({error})."
            ) from None
        counts = np.array([(labels == name).sum() for name in predictions.classes])
        if not counts.any():
            raise UsageError(f"The run's probabilities cannot be calibrated: its {run.manifest.name} has no training images.")
        return cls.fit(predictions.part("val"), make_recipe(load_yaml(run.recipe)), counts)

    def write(self, path: Path) -> None:
        """Write the correction as JSON."""
        write_text(path, self.model_dump_json(indent=2) + "\n")

    def apply(self, probabilities: npt.NDArray[np.float32], target: TargetPrior | None = None) -> npt.NDArray[np.float32]:
        """Return stored probabilities (N, K) corrected to the class shares `target`, which can change the predicted classes.

        Without a target they get the fitted temperature alone, and the predicted classes stay.
        """
        if target is None:
            return with_temperature(probabilities, self.temperature).astype(np.float32)
        source = np.array(list(self.model_prior.values()))
        tempered = with_temperature(probabilities, self.prior_temperature)
        return adjust_prior(tempered, source, target.shares).astype(np.float32)

    def prior(self, name: str) -> TargetPrior | None:
        """Return class shares by name: "train", "uniform" or a CSV file; None for "estimate", which takes images.

        Raises:
            UsageError: It is none of these, or the file is not as it should be (see `read_shares`).
            DataError: The file is no table.
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
        shares = read_shares(Path(name), self.classes)
        untrained = [name for name, wanted, had in zip(self.classes, shares, train, strict=True) if wanted > 0 and had == 0]
        if untrained:
            raise UsageError(f"Expected a share of 0 for classes without training images, but not so: {', '.join(untrained)}.")
        return TargetPrior(name, shares)

    def estimate(self, probabilities: npt.NDArray[np.float32]) -> TargetPrior:
        """Return the class shares that stored probabilities (N, K) speak for; warns where they can be told only badly."""
        train = np.array(list(self.train_prior.values()))
        found = estimate_prior(self.apply(probabilities, TargetPrior("train", train)), train)
        if not found.converged:
            log.warning("The estimate of the class shares did not come to rest: it says little.")
        return TargetPrior("estimate", found.prior, found.low, found.high, found.converged)

    def scored(self, predictions: Predictions, replicates: int = 2000) -> dict[str, Any]:
        """Return how well probabilities are calibrated, with 95 % intervals, ready for JSON; what is undefined is None.

        So is the interval of a score that is the same in every draw, and that of a calibration error where all images are of
        one class: no draw has another one, so it hardly moves, whatever it would be on other images.

        `{"ece", "classwise_ece", "rare_ece", "brier", "log_loss": {"value", "low", "high"}, "ece_by_chance", "per_class":
        {class: {"value", "low", "high"}}}`; "rare_ece" only where there are rare classes.
        """
        y, p = predictions.labels, predictions.probabilities
        scored = calibration_scores(y, p, predictions.groups, rare=self.rare, replicates=replicates)
        one_class = len(np.unique(y)) == 1
        found = {
            name: Interval(score.value, math.nan, math.nan) if one_class and "ece" in name else without_point_interval(score)
            for name, score in scored.items()
        }
        scores: dict[str, Any] = {name: as_json(score) for name, score in found.items() if not name.startswith("ece_")}
        scores["ece_by_chance"] = ece_by_chance(y, p)
        scores["per_class"] = {name: as_json(found[f"ece_{k}"]) for k, name in enumerate(predictions.classes)}
        return scores


def calibrate_run(run: RunFolder, predictions: Predictions, recipe: Recipe, counts: npt.NDArray[np.int64]) -> Correction:
    """Fit a run's correction on the validation part of its predictions, score it, and store it in its calibration.json.

    Args:
        run: Where it is stored.
        predictions: Of the validation part and the test part, if there is one.
        recipe: Of the run.
        counts: (K,), training images of each class.
    """
    fitted = Correction.fit(predictions.part("val"), recipe, counts)
    scores = {}
    for name in ("val", "test"):
        part = predictions.part(name)
        if part.images:
            p = part.probabilities
            ways = {"stored": p, "temperature": fitted.apply(p), "train": fitted.apply(p, fitted.prior("train"))}
            scores[name] = {way: fitted.scored(replace(part, probabilities=made)) for way, made in ways.items()}
    correction = fitted.model_copy(update={"scores": scores})
    correction.write(run.calibration)
    return correction


def _by_class(names: tuple[str, ...], values: npt.NDArray[np.floating[Any]]) -> Shares:
    return dict(zip(names, values.tolist(), strict=True))
