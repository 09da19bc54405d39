"""How sure the model is, and whether that can be believed: reliability, calibration errors, thresholds."""

from collections.abc import Mapping
from dataclasses import replace

from balanced_mixup.calibration.class_prior import TargetPrior, rare_classes
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.calibration.scores import CalibrationScores, reliability
from balanced_mixup.calibration.thresholds import DECIMALS
from balanced_mixup.evaluation.assessment import choose_thresholds
from balanced_mixup.report.contents import RunContents, require
from balanced_mixup.report.document import Block, Chart, Note, Table, Text
from balanced_mixup.report.figures.reliability import reliability_diagram
from balanced_mixup.report.words import counted, interval, percent
from balanced_mixup.runs.predictions import Predictions

_WANTED = 0.9  # sensitivity, where none was asked for
_MOST = 12  # classes in the table of thresholds, where none was asked for
_LABELS = {
    "ece": "calibration error (ECE)",
    "classwise_ece": "mean over the classes",
    "rare_ece": "mean over the rare classes",
    "brier": "Brier score",
    "log_loss": "log loss",
}


def calibration_view(run: RunContents) -> list[Block]:
    """Show reliability before and after the correction, the errors of each way of correcting, and thresholds.

    Raises:
        UsageError: The run has no predictions, or nothing to calibrate on.
    """
    found, validation = require(run.stored, "its predictions"), require(run.validation, "its predictions")
    correction = run.run.calibration
    ways = {
        "as stored": found,
        "temperature": _corrected(found, correction),
        "temperature and prior": _corrected(found, correction, correction.prior("train")),
    }
    if run.target is not None:
        ways[f"shares `{run.target.name}`"] = _corrected(found, correction, run.target)
    after = "temperature" if run.target is None else f"shares `{run.target.name}`"
    known = correction.scores.get(run.split, {}) if run.evaluation is None else {}
    names = {"as stored": "stored", "temperature": "temperature", "temperature and prior": "train"}
    scores = {
        way: known.get(names.get(way, "")) or correction.score(each.labels, each.probabilities, each.groups)
        for way, each in ways.items()
    }
    bins = [reliability(ways[way].labels, ways[way].probabilities, groups=found.groups) for way in ("as stored", after)]
    before_ece, after_ece = (f"ECE {interval(scores[way].metrics['ece'])}" for way in ("as stored", after))
    before, chance = scores["as stored"].metrics["ece"].value, scores["as stored"].ece_by_chance
    blocks: list[Block] = [
        Text(
            f"The temperature that fits the {counted(correction.images, 'validation image')} best is "
            f"{correction.temperature:.2f}. Above 1 the model was too sure of its answers, below 1 less sure than it could be; "
            "within a tenth of 1 there is hardly a difference. What is predicted with this run (bmixup predict) is corrected "
            "by it, and the answers stay."
        ),
        Text(
            f"On the scored images the calibration error (ECE) goes from {before:.3f} to "
            f"{scores[after].metrics['ece'].value:.3f} ({after}). Perfect ones would show about {chance:.3f} by chance."
        ),
        Chart(
            "reliability",
            "Of the images with an answer of 70 %, are 70 % right? Points below the line are surer than right.",
            f"Reliability as stored ({before_ece}) and after correction ({after_ece}).",
            reliability_diagram(*bins, ece_before=before_ece, ece_after=after_ece),
        ),
        _errors(scores),
        _thresholds(run, validation, found, correction),
    ]
    if run.split == "val":
        blocks.append(Note("The temperature was fitted on these very images, so what it does for them is a little too good."))
    return blocks


def _corrected(predictions: Predictions, correction: Correction, target: TargetPrior | None = None) -> Predictions:
    return replace(predictions, probabilities=correction.apply(predictions.probabilities, target))


def _errors(scores: Mapping[str, CalibrationScores]) -> Table:
    shown = {name: label for name, label in _LABELS.items() if name in scores["as stored"].metrics}
    return Table(
        "How far probabilities are from what they say, 0 is best [95 % interval]: as stored, with the temperature, and with "
        "temperature and prior fitted, for the class shares of the training data.",
        ["score", *scores],
        [[label, *(interval(way.metrics[name]) for way in scores.values())] for name, label in shown.items()],
    )


def _thresholds(run: RunContents, validation: Predictions, found: Predictions, correction: Correction) -> Table:
    """Show from what corrected probability on an image would have to count as a class: those asked for, or the rare ones."""
    asked = {} if run.evaluation is None else {n: each.threshold.wanted for n, each in run.evaluation.thresholds.items()}
    trained = [run.classes[k] for k in rare_classes(run.counts("train"))[:_MOST]]
    wanted = asked or dict.fromkeys(trained or run.classes[:_MOST], _WANTED)
    results = choose_thresholds(correction, run.target, validation, _corrected(found, correction, run.target), wanted)
    rows = []
    for name, result in results.items():
        row = ["–", "–", "–"]
        if result.point is not None:
            value = f"{result.threshold.value:.{DECIMALS}f}"
            row = [value, interval(result.point.sensitivity), interval(result.point.specificity)]
        rows.append([name, result.threshold.note, percent(result.threshold.wanted), *row])
    return Table(
        "From what corrected probability on should an image count as a class, so that the wanted share of its cases is found? "
        "Chosen on validation images; sensitivity and specificity are those on the scored ones [95 % interval].",
        ["class", "remark", "wanted", "threshold", "sensitivity", "specificity"],
        rows,
        words=2,
    )
