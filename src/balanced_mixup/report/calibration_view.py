"""How sure the model is, and whether that can be believed: reliability, calibration errors, thresholds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.evaluation.calibration import reliability
from balanced_mixup.evaluation.correction import Correction
from balanced_mixup.evaluation.predictions import Predictions
from balanced_mixup.evaluation.thresholds import choose_threshold, operating_point
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Chart, Note, Table, Text
from balanced_mixup.report.figures.reliability import reliability_diagram
from balanced_mixup.report.words import MOST, interval, percent, rare_classes

_WANTED = 0.9  # sensitivity of the table of thresholds
_LABELS = {
    "ece": "calibration error (ECE)",
    "classwise_ece": "mean over the classes",
    "rare_ece": "mean over the rare classes",
    "brier": "Brier score",
    "log_loss": "log loss",
}


def calibration_view(run: RunContents) -> list[Block]:
    """Show reliability before and after the temperature, the errors of both and of the corrected prior, and thresholds.

    Raises:
        UsageError: The run has no predictions, or nothing to calibrate on.
    """
    found, validation = require(run.stored, "its predictions"), require(run.validation, "its predictions")
    correction = Correction.of(run.folder)
    ways = {
        "stored": found,
        "temperature": _corrected(found, correction),
        "train": _corrected(found, correction, "train"),
    }
    scores = correction.scores.get(run.part) or {way: correction.scored(each) for way, each in ways.items()}
    bins = {way: reliability(each.labels, each.probabilities, groups=each.groups) for way, each in ways.items()}
    texts = {way: f"ECE {interval(scores[way]['ece'])}" for way in scores}
    drawing = reliability_diagram(
        bins["stored"], bins["temperature"], ece_before=texts["stored"], ece_after=texts["temperature"]
    )
    temperature = correction.temperature
    tendency = "too sure of its answers" if temperature > 1 else "less sure of its answers than it could be"
    blocks: list[Block] = [
        Text(
            f"The temperature that fits the {correction.images:,} validation images best is {temperature:.2f}: the model is "
            f"{tendency}. What is predicted with this run (bmixup predict) is corrected by it, and the answers stay."
        ),
        Chart(
            "reliability",
            "Of the images with an answer of 70 %, are 70 % right? Points below the line are surer than right.",
            f"Reliability before ({texts['stored']}) and after the temperature ({texts['temperature']}).",
            drawing,
        ),
        _errors(scores),
        _thresholds(run, validation, found, correction),
    ]
    if run.part == "val":
        blocks.append(Note("The temperature was fitted on these very images, so what it does for them is a little too good."))
    return blocks


def _corrected(predictions: Predictions, correction: Correction, prior: str | None = None) -> Predictions:
    target = None if prior is None else correction.prior(prior)
    return replace(predictions, probabilities=correction.apply(predictions.probabilities, target))


def _errors(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    chance = scores["stored"]["ece_by_chance"]
    return Table(
        "How far probabilities are from what they say, 0 is best [95 % interval]: as stored, with the temperature, and with "
        "temperature and prior fitted, for the class shares of the training data. By chance alone the ECE would be "
        f"{chance:.3f} here.",
        ["score", "as stored", "temperature", "temperature and prior"],
        [
            [label, *(interval(scores[way][name]) for way in ("stored", "temperature", "train"))]
            for name, label in _LABELS.items()
            if name in scores["stored"]
        ],
    )


def _thresholds(run: RunContents, validation: Predictions, found: Predictions, correction: Correction) -> Table:
    """Show from what tempered probability on an image would have to count as a rare class."""
    chosen_on = correction.apply(validation.probabilities)
    scored = correction.apply(found.probabilities)
    rows = [
        _threshold(k, run.classes[k], validation.labels, chosen_on, found, scored)
        for k in (rare_classes(run.counts("train")) or range(len(run.classes)))
    ]
    return Table(
        f"If {percent(_WANTED)} of a rare class should be found: the threshold on its probability, chosen on validation "
        f"images, and what it gives on the scored ones [95 % interval]. The {MOST} rarest classes at most.",
        ["class", "remark", "threshold", "sensitivity", "specificity"],
        rows[:MOST],
        words=2,
    )


def _threshold(
    k: int,
    name: str,
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    found: Predictions,
    scored: npt.NDArray[np.float32],
) -> list[str]:
    chosen = choose_threshold(labels, probabilities, k, _WANTED)
    if chosen.value is None:
        return [name, chosen.note, "–", "–", "–"]
    point = operating_point(found.labels, scored, k, chosen.value, found.groups)
    return [name, chosen.note, f"{chosen.value:.3g}", interval(vars(point.sensitivity)), interval(vars(point.specificity))]
