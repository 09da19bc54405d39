"""The net benefit section: what acting on the probability of a class is worth, at each threshold."""

from dataclasses import replace

import numpy as np

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import Array
from balanced_mixup.report.contents import Contents, RunContents, require
from balanced_mixup.report.document import Block, Chart, Text
from balanced_mixup.report.figures import decision_curves
from balanced_mixup.runs.predictions import Predictions

_READING = (
    "Decision curves (Vickers and Elkin 2006). A threshold of 10% says that missing an image of the class is as bad as acting "
    "on 9 others. The net benefit is the share of true positives, less that of false positives at this exchange rate. At the "
    "thresholds that matter to you the curve of the model should be above both others: acting on all images, and on none. "
    "Small differences in height are chance where a class has few images; of fewer than 10 the curve says nothing."
)


def net_benefit_view(run: Contents) -> list[Block]:
    """Return the decision curves of each class, on corrected probabilities where there is a correction.

    Raises:
        UsageError: There are no predicted probabilities, or the run has no validation images to correct them on.
    """
    found = require(run.predictions, "its predictions")
    if found.answers_only:
        raise UsageError("The predictions are classes without probabilities, so there is no net benefit.")
    target, which = run.target, "They are of the probabilities as they were given."
    if isinstance(run, RunContents):
        correction = run.run.calibration
        prior = correction.prior("train") if target is None else target
        stored = require(run.stored, "its predictions")
        found = replace(stored, probabilities=correction.apply(stored.probabilities, prior))
        which = (
            "They are of probabilities corrected to the class shares of the training data, as bmixup predict --prior train "
            "writes them, so their thresholds are not those of the section on calibration."
            if target is None
            else f"They are of probabilities corrected to the class prior `{target.name}`, and each image counts as often "
            "as that prior has its class."
        )
    weights = None if target is None else _weights(found, target)
    drawing = decision_curves(found.labels, found.probabilities.astype(np.float64), found.classes, weights)
    return [Text(f"{_READING} {which}"), Chart("net-benefit", "Net benefit by threshold.", drawing)]


def _weights(found: Predictions, target: TargetPrior) -> Array:
    """Return how often each image counts, (N,), so that the classes have the shares of the prior."""
    counts = np.bincount(found.labels, minlength=len(found.classes))
    return np.asarray((target.shares / np.maximum(counts, 1))[found.labels])
