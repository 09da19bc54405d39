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
from balanced_mixup.report.words import CALIBRATION_LABELS, interval, percent
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
    corrections = {
        "uncorrected": found,
        "temperature": _corrected(found, correction),
        "temperature and prior": _corrected(found, correction, correction.prior("train")),
    }
    if run.target is not None:
        corrections[f"prior `{run.target.name}`"] = _corrected(found, correction, run.target)
    after = "temperature" if run.target is None else f"prior `{run.target.name}`"
    known = correction.scores.get(run.split, {}) if run.evaluation is None else {}
    names = {"uncorrected": "stored", "temperature": "temperature", "temperature and prior": "train"}
    scores = {
        name: known.get(names.get(name, "")) or correction.score(each.labels, each.probabilities, each.groups)
        for name, each in corrections.items()
    }
    shown = (corrections["uncorrected"], corrections[after])
    bins = [reliability(each.labels, each.probabilities, groups=found.groups) for each in shown]
    before, corrected = scores["uncorrected"], scores[after]
    before_ece, after_ece = (f"ECE {interval(each.metrics['ece'])}" for each in (before, corrected))
    blocks: list[Block] = [
        Text(
            f"Temperature scaling, fitted on {counted(correction.images, 'validation image')}: temperature "
            f"{correction.temperature:.2f}. Above 1 means that the model was overconfident, below 1 underconfident; within 0.1 "
            "of 1 it makes hardly any difference. bmixup predict applies it; the predicted class stays the same."
        ),
        Text(
            f"On the scored images the expected calibration error (ECE) goes from {before.metrics['ece'].value:.3f} "
            f"to {corrected.metrics['ece'].value:.3f} ({after}). With perfect probabilities, an ECE of about "
            f"{before.ece_by_chance:.3f} would be expected by chance."
        ),
        Chart(
            "reliability",
            "Of the predictions with a confidence of 70%, are 70% correct? Points below the diagonal are overconfident, those "
            "above it underconfident.",
            reliability_diagram(*bins, ece_before=before_ece, ece_after=after_ece),
        ),
        _errors(scores),
        *([] if run.split == "val" else _thresholds(run, validation, found, correction)),
    ]
    if run.split == "val":
        blocks.append(
            Note("The temperature was fitted on these same images, so calibration looks slightly better here than it is.")
        )
    return blocks


def _corrected(predictions: Predictions, correction: Correction, target: TargetPrior | None = None) -> Predictions:
    return replace(predictions, probabilities=correction.apply(predictions.probabilities, target))


def _errors(scores: Mapping[str, CalibrationScores]) -> Table:
    shown = {name: label for name, label in CALIBRATION_LABELS.items() if name in scores["uncorrected"].metrics}
    return Table(
        "Calibration errors, 0 is best [95% interval]: uncorrected, with temperature scaling, and with temperature and prior "
        "correction to the class proportions of the training data.",
        ["score", *scores],
        [[label, *(interval(each.metrics[name]) for each in scores.values())] for name, label in shown.items()],
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
        "Threshold on the corrected probability of a class, chosen on the validation images so that the sensitivity on new "
        "images averages the target; at least: its 95% lower bound, for independent images; "
        "sensitivity and specificity are those on the scored images [95% interval].",
        ["class", "remark", "target sensitivity", "threshold", "at least", "sensitivity", "specificity"],
        rows,
        words=2,
    )
    points = [result.point for result in results.values() if result.point is not None]
    return [table, *map(Text, warnings_of(score for point in points for score in (point.sensitivity, point.specificity)))]
