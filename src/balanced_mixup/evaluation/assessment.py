"""The assessment of predictions with labels: scores, calibration before and after the correction, decision thresholds."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.calibration.thresholds import ThresholdResult, choose_threshold, operating_point
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.runs.evaluation import CalibrationResult, EvaluationResult
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.bootstrap import units_of
from balanced_mixup.statistics.scoring import SmallNumbers

log = logging.getLogger("balanced_mixup")


@dataclass(frozen=True)
class Assessment:
    """The arguments of an evaluation, checked before images are read.

    correction: The run's; None where it has none and none is needed. prior: Name of the class prior to correct to, if any.
    target: That prior; None for "estimate", which needs images. sensitivity: The target of some classes. validation:
    The predictions on which thresholds are chosen, and on which an estimate rests, where one of them is wanted. doubt: Why the
    stored temperature would not be kept today, or "".
    """

    correction: Correction | None = None
    prior: str | None = None
    target: TargetPrior | None = None
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    validation: Predictions | None = None
    doubt: str = ""

    @classmethod
    def plan(cls, run: Run, prior: str | None, sensitivity: Mapping[str, float] | None) -> Self:
        """Check the arguments of an evaluation.

        Raises:
            UsageError: The prior, a class or a sensitivity is invalid, or they require calibration, which is not possible, or
                validation images of a class, of which there are none.
            DataError: The file of the prior is not a table.
        """
        wanted = dict(sensitivity or {})
        try:
            correction = run.calibration
        except UsageError as error:
            if prior is not None or wanted:
                raise
            log.warning("Calibration is not evaluated. %s", error)
            return cls()
        for name, value in wanted.items():
            if name not in correction.classes:
                known = ", ".join(correction.classes)
                raise UsageError(
                    f"Expected `sensitivity` to name classes of the run ({known}), but got {name!r}."
                    f"{nearest(name, correction.classes)}"
                )
            if not 0 < value < 1:
                raise UsageError(f"Expected a `sensitivity` above 0 and under 1, such as 0.95, but got {value:g} for {name!r}.")
        target = None if prior is None else correction.prior(prior)
        estimated = prior is not None and target is None
        try:
            validation = run.predictions.in_split("val")
        except UsageError:
            if wanted or estimated:
                raise
            return cls(correction, prior, target)  # the run has been stripped of its predictions
        if estimated:
            correction.require_every_class(validation)
        return cls(correction, prior, target, wanted, validation, correction.doubt(validation))

    def of(self, predictions: Predictions) -> EvaluationResult:
        """Return the result for these predictions; the scores are of corrected probabilities where there is a prior."""
        correction, target = self.correction, self.target
        if correction is None:
            return EvaluationResult(Scores.of(predictions))
        if self.prior is not None and target is None and self.validation is not None:
            target = correction.estimate(self.validation, predictions.probabilities, predictions.groups)
        y, groups = predictions.labels, predictions.groups
        corrected = replace(predictions, probabilities=correction.apply(predictions.probabilities, target))
        return EvaluationResult(
            scores=Scores.of(predictions if target is None else corrected),
            prior=target,
            calibration=CalibrationResult(
                images=correction.images,
                temperature=correction.temperature if target is None else correction.prior_temperature,
                note=(correction.temperature_note or self.doubt) if target is None else correction.prior_temperature_note or "",
                before=correction.score(y, predictions.probabilities, groups),
                after=correction.score(y, corrected.probabilities, groups),
            ),
            thresholds={}
            if self.validation is None or not self.sensitivity
            else choose_thresholds(correction, target, self.validation, corrected, self.sensitivity),
        )


def choose_thresholds(
    correction: Correction,
    target: TargetPrior | None,
    validation: Predictions,
    corrected: Predictions,
    sensitivity: Mapping[str, float],
) -> dict[str, ThresholdResult]:
    """Choose thresholds on the validation split, and measure them on predictions that were corrected in the same way.

    Args:
        correction, target: The correction that was applied to `corrected`.
        validation: Stored predictions of the validation split.
        corrected: Predictions to measure them on.
        sensitivity: The target of some classes.
    """
    probabilities = correction.apply(validation.probabilities, target)
    units = None if corrected.groups is None else units_of(len(corrected), corrected.groups)
    small = SmallNumbers(corrected.labels, len(corrected.classes), units, corrected.classes)
    results = {}
    for name, wanted in sensitivity.items():
        k = corrected.classes.index(name)
        threshold = choose_threshold(validation.labels, probabilities, k, wanted)
        point = None
        if threshold.value is not None:
            point = operating_point(corrected.labels, corrected.probabilities, k, threshold.value, corrected.groups)
            point = replace(
                point,
                sensitivity=point.sensitivity.warned(small.of_class("recall", k)),
                specificity=point.specificity.warned(small.of_class("specificity", k)),
            )
        results[name] = ThresholdResult(threshold, point)
    return results
