"""All that is said about predictions with labels: scores, calibration before and after, thresholds for a wanted sensitivity."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.calibration.thresholds import Threshold, choose_threshold, operating_point
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.runs.predictions import Predictions, as_json
from balanced_mixup.runs.run_folder import RunFolder

log = logging.getLogger("balanced_mixup")


@dataclass(frozen=True)
class Assessment:
    """What is asked, checked before images are read.

    correction: The run's; None where it has none and nothing asks for it. prior: Name of the class shares to correct to, if
    any. target: Those shares; None for "estimate" until there are images. sensitivity: The wanted one of some classes.
    validation: Where thresholds are chosen.
    """

    correction: Correction | None
    prior: str | None
    target: TargetPrior | None
    sensitivity: Mapping[str, float]
    validation: Predictions | None = None

    @classmethod
    def plan(cls, run: RunFolder, prior: str | None, sensitivity: Mapping[str, float] | None) -> Self:
        """Check what is asked of a run.

        Raises:
            UsageError: The shares, a class or a sensitivity are not as they should be, or the run cannot be calibrated although
                that is asked for.
            DataError: The file of shares is no table.
        """
        wanted = dict(sensitivity or {})
        try:
            correction = Correction.of(run)
        except UsageError as error:
            if prior is not None or wanted:
                raise
            log.warning("Nothing is said about calibration. %s", error)
            return cls(None, None, None, {})
        for name, value in wanted.items():
            if name not in correction.classes:
                known = ", ".join(correction.classes)
                raise UsageError(
                    f"Expected `sensitivity` to name classes of the run ({known}), but got {name!r}."
                    f"{nearest(name, correction.classes)}"
                )
            if not 0 < value < 1:
                raise UsageError(f"Expected a `sensitivity` above 0 and under 1, such as 0.95, but got {value:g} for {name!r}.")
        validation = Predictions.read(run.predictions).part("val") if wanted else None
        return cls(correction, prior, None if prior is None else correction.prior(prior), wanted, validation)

    def of(self, predictions: Predictions) -> dict[str, Any]:
        """Return all of it, ready for JSON; what is undefined is None.

        As `Predictions.scores`, of the corrected probabilities where class shares are asked for, with

        - "prior": those shares (see `TargetPrior.to_dict`), or None;
        - "calibration": "images" it was fitted on, "temperature", and how well the probabilities are calibrated "before" and
          "after" (see `Correction.scored`); None where the run cannot be calibrated;
        - "thresholds": for each class asked for, "threshold" on the corrected probabilities, "wanted", "cases" it was chosen
          on, "supported", "note", and "sensitivity" and "specificity" on these predictions, of "test_cases" and "test_others".
        """
        if self.correction is None:
            return {**predictions.scores(), "prior": None, "calibration": None, "thresholds": {}}
        target = self.target
        if self.prior is not None and target is None:
            target = self.correction.estimate(predictions.probabilities)
        after = replace(predictions, probabilities=self.correction.apply(predictions.probabilities, target))
        scored = predictions if target is None else after
        return {
            **scored.scores(),
            "prior": None if target is None else target.to_dict(predictions.classes),
            "calibration": {
                "images": self.correction.images,
                "temperature": self.correction.temperature if target is None else self.correction.prior_temperature,
                "before": self.correction.scored(predictions),
                "after": self.correction.scored(after),
            },
            "thresholds": {} if self.validation is None else self._thresholds(self.correction, self.validation, after, target),
        }

    def _thresholds(
        self, correction: Correction, validation: Predictions, after: Predictions, target: TargetPrior | None
    ) -> dict[str, Any]:
        """Choose thresholds on the validation part, its probabilities corrected like those to be scored, and count."""
        corrected = correction.apply(validation.probabilities, target)
        found = {}
        for name, wanted in self.sensitivity.items():
            k = after.classes.index(name)
            found[name] = _described(choose_threshold(validation.labels, corrected, k, wanted), k, after)
        return found


def _described(chosen: Threshold, k: int, predictions: Predictions) -> dict[str, Any]:
    """Return a threshold for class k, and what it does with predictions, ready for JSON."""
    point = None
    if chosen.value is not None:
        point = operating_point(predictions.labels, predictions.probabilities, k, chosen.value, predictions.groups)
    return {
        "threshold": chosen.value,
        "wanted": chosen.wanted,
        "cases": chosen.cases,
        "supported": chosen.supported,
        "note": chosen.note,
        "sensitivity": None if point is None else as_json(point.sensitivity),
        "specificity": None if point is None else as_json(point.specificity),
        "test_cases": None if point is None else point.cases,
        "test_others": None if point is None else point.others,
    }
