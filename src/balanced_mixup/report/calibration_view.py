"""The calibration section: reliability, calibration errors, thresholds."""

from collections.abc import Mapping
from dataclasses import replace

from balanced_mixup.calibration.class_prior import TargetPrior, rare_classes
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.calibration.scores import CalibrationScores, reliability
from balanced_mixup.calibration.thresholds import DECIMALS
from balanced_mixup.evaluation.assessment import choose_thresholds
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Chart, Note, Table, Text
from balanced_mixup.report.figures import reliability_diagram
from balanced_mixup.report.words import (
    CALIBRATION_LABELS,
    RELIABILITY_CAPTION,
    ece_explained,
    ece_words,
    interval,
    percent,
)
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.statistics.interval import warnings_of
from balanced_mixup.words import counted

_SENSITIVITY = 0.9  # target if none is given
_MOST = 12  # classes in the table of thresholds if none are given


def calibration_view(run: RunContents) -> list[Block]:
    """Return reliability before and after the correction, the errors of each correction, and thresholds.

    Raises:
        UsageError: The run has no predictions, or no validation images to calibrate on.
    """
    found, validation = require(run.stored, "its predictions"), require(run.validation, "its predictions")
    correction = run.run.calibration
    with_prior = "prior `train`" if correction.prior_temperature_note else "temperature and prior `train`"
    corrections = {"uncorrected": found}
    if not correction.temperature_note:
        corrections["temperature"] = _corrected(found, correction)
    corrections[with_prior] = _corrected(found, correction, correction.prior("train"))
    if run.target is not None:
        corrections[f"prior `{run.target.name}`"] = _corrected(found, correction, run.target)
    after = list(corrections)[-1] if run.target is not None else "temperature" if "temperature" in corrections else None
    known = correction.scores.get(run.split, {}) if run.evaluation is None else {}
    names = {"uncorrected": "stored", "temperature": "temperature", with_prior: "train"}
    scores = {name: _scored(each, correction, known.get(names.get(name, ""))) for name, each in corrections.items()}
    shown = ["uncorrected"] if after is None else ["uncorrected", after]
    bins = [reliability(each.labels, each.probabilities, groups=found.groups) for each in map(corrections.__getitem__, shown)]
    eces = [ece_words(scores[name]) for name in shown]
    blocks: list[Block] = [
        Text(_temperature(correction, correction.doubt(validation))),
        Text(
            f"On the scored images the expected calibration error (ECE) "
            f"{f'is {eces[0]}' if after is None else f'goes from {eces[0]} to {eces[1]} ({after})'}. "
            f"{ece_explained(scores['uncorrected'])}"
        ),
        Chart(
            "reliability",
            RELIABILITY_CAPTION,
            reliability_diagram(*bins, ece_before=f"ECE {eces[0]}", ece_after=f"ECE {eces[-1]}"),
        ),
        _errors(scores),
        *([] if run.split == "val" else _thresholds(run, validation, found, correction)),
    ]
    if after is not None and scores[after].metrics["log_loss"].low > scores["uncorrected"].metrics["log_loss"].high:
        blocks.insert(
            2, Note(f"On these images the correction ({after}) makes the probabilities worse: do not use it for them.")
        )
    if run.split == "val" and not correction.temperature_note:
        blocks.append(
            Note("The temperature was fitted on these same images, so calibration looks slightly better here than it is.")
        )
    return blocks


def _scored(predictions: Predictions, correction: Correction, stored: CalibrationScores | None) -> CalibrationScores:
    """Return the stored scores of predictions; new ones where there are none, or none with p-values (of older versions)."""
    if stored is not None and stored.p_values:
        return stored
    return correction.score(predictions.labels, predictions.probabilities, predictions.groups)


def _temperature(correction: Correction, doubt: str) -> str:
    """Describe the temperature, and why there is none; `doubt`: why one of an older version would not be kept today."""
    if correction.temperature_note:
        return f"No temperature is applied, as {correction.temperature_note}."
    kept = f" It was kept by an older version; today none would be, as {doubt}." if doubt else ""
    return (
        f"Temperature scaling, fitted on {counted(correction.images, 'validation image')}: temperature "
        f"{correction.temperature:.2f}. Above 1 means that the model was overconfident, below 1 underconfident; within 0.1 "
        f"of 1 it makes hardly any difference. bmixup predict applies it; the predicted class stays the same.{kept}"
    )


def _predict(run: RunContents) -> str:
    return "bmixup predict" + ("" if run.target is None else f" --prior {run.target.name}")


def _corrected(predictions: Predictions, correction: Correction, target: TargetPrior | None = None) -> Predictions:
    return replace(predictions, probabilities=correction.apply(predictions.probabilities, target))


def _errors(scores: Mapping[str, CalibrationScores]) -> Table:
    shown = {name: label for name, label in CALIBRATION_LABELS.items() if name in scores["uncorrected"].metrics}
    return Table(
        "Calibration errors, 0 is best [95% interval]: uncorrected, with temperature scaling where it is applied, and "
        "corrected to the class shares of the training data (prior `train`). p: how often calibrated probabilities would show "
        "as large an error by chance.",
        ["score", *scores],
        [
            [label, *(interval(each.metrics[name]) + each.p_text(name) for each in scores.values())]
            for name, label in shown.items()
        ],
    )


def _thresholds(run: RunContents, validation: Predictions, found: Predictions, correction: Correction) -> list[Block]:
    """Return thresholds on corrected probabilities for the classes of the evaluation, or for the rare ones."""
    given = {} if run.evaluation is None else {n: each.threshold.wanted for n, each in run.evaluation.thresholds.items()}
    trained = [run.classes[k] for k in rare_classes(run.counts("train"))[:_MOST]]
    wanted = given or dict.fromkeys(trained or run.classes[:_MOST], _SENSITIVITY)
    results = choose_thresholds(correction, run.target, validation, _corrected(found, correction, run.target), wanted)
    rows = []
    for name, result in results.items():
        row = ["–", "–", "–", "–"]
        if result.point is not None:
            value = f"{result.threshold.value:.{DECIMALS}f}"
            low = "–" if result.threshold.low is None else percent(result.threshold.low)
            row = [value, low, interval(result.point.sensitivity), interval(result.point.specificity)]
        rows.append([name, result.threshold.note, percent(result.threshold.wanted), *row])
    table = Table(
        f"Threshold on the probability of a class as {_predict(run)} writes it, chosen on the validation images so that the "
        "sensitivity on new images averages the target; at least: its 95% lower bound, for independent images; "
        "sensitivity and specificity are those on the scored images [95% interval].",
        ["class", "remark", "target sensitivity", "threshold", "at least", "sensitivity", "specificity"],
        rows,
        words=2,
    )
    points = [result.point for result in results.values() if result.point is not None]
    return [table, *map(Text, warnings_of(score for point in points for score in (point.sensitivity, point.specificity)))]
