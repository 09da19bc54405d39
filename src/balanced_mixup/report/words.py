"""Wording of the report: numbers, names and sentences."""

import math
from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.scores import CalibrationScores
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.words import counted, display_name, listed

CITATION = (
    "Galdran A., Carneiro G., González Ballester M. A. (2021): Balanced-MixUp for Highly Imbalanced Medical Image "
    "Classification. MICCAI 2021, LNCS 12905, pp. 323-333."
)

NOT_A_DEVICE = "Not a medical device: for research, not for decisions on patients."

RELIABILITY_CAPTION = (
    "Of the predictions with a confidence of 70%, are 70% correct? Points below the diagonal are overconfident, those above it "
    "underconfident. Lines: 95% intervals; one that crosses the diagonal decides neither. Below: the images of each point."
)

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

CALIBRATION_LABELS = {
    "ece": "expected calibration error (ECE)",
    "classwise_ece": "classwise ECE, mean over all classes",
    "rare_ece": "classwise ECE, mean over the rare classes",
    "brier": "Brier score",
    "log_loss": "log loss",
}


def remark(trained: date | None = None) -> str:
    """Return the line below a title: when the training was started, if known, today's date, and what it is not for."""
    start = "" if trained is None else f"Training of {written(trained)}. "
    return f"{start}Report of {written(datetime.now().astimezone().date())}. {NOT_A_DEVICE}"


def written(day: date) -> str:
    """Return "25 November 2026", in English whatever the locale."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def percent(value: float) -> str:
    """Return a proportion in per cent, "54%"; with a decimal where it would round to 0% or 100%."""
    shown = 100 * value
    return f"{shown:.1f}%" if 0 < shown < 1 or 99 < shown < 100 else f"{shown:.0f}%"


def with_interval(score: Interval) -> str:
    """Return "54% (95% CI 42% to 66%)", with `*` if there is a warning, the value alone without an interval, or "undefined"."""
    if math.isnan(score.value):
        return "undefined"
    if not score.low < score.high:
        return percent(score.value) + score.mark
    return f"{percent(score.value)} (95% CI {percent(score.low)} to {percent(score.high)}){score.mark}"


def interval(score: Interval) -> str:
    """Return "0.043 [0.030, 0.058]", with `*` if there is a warning, or a dash if undefined."""
    if math.isnan(score.value):
        return "–"
    bounds = f" [{score.low:.3f}, {score.high:.3f}]" if score.low < score.high else ""
    return f"{score.value:.3f}{bounds}{score.mark}"


def signed_interval(difference: Interval) -> str:
    """Return "+0.043 [-0.030, +0.118]", with `*` if there is a warning, or a dash without an interval."""
    if not difference.low < difference.high:
        return "–"
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]{difference.mark}"


def ece_words(scores: CalibrationScores) -> str:
    """Return "0.043 (p = 0.012)"; of an older version "0.043 [0.030, 0.058]"."""
    p = scores.p_text("ece").removeprefix(", ")
    return interval(scores.metrics["ece"]) + (f" ({p})" if p else "")


def ece_explained(scores: CalibrationScores) -> str:
    """Return sentences on what chance alone does to the ECE."""
    chance = f"With perfect probabilities, an ECE of about {scores.ece_by_chance:.3f} would be expected by chance"
    if not scores.p_values:
        return chance + "."
    return chance + (
        ", and one at least as large as the one found with probability p (consistency test). A small p says that the "
        "probabilities are not calibrated; a large one does not say that they are."
    )


def class_sentence(k: int, classes: Sequence[str], table: npt.NDArray[np.int64], trained: int | None, recall: Interval) -> str:
    """Return a sentence on class `k`: its recall, its confusions, and its false positives.

    Args:
        k: The class.
        classes: K names.
        table: (K, K), label by predicted class.
        trained: Number of its training images; None if unknown.
        recall: Its recall with the interval.
    """
    row, predicted = table[k], int(table[:, k].sum())
    total, hits = int(row.sum()), int(row[k])
    head = display_name(classes[k]) + ("" if trained is None else f" ({counted(trained, 'training image')})") + ": "
    if not total:
        return head + "none of the scored images is of this class, so there is no recall."
    text = f"{head}{hits:,} of {total:,} found, {with_interval(recall)}."
    wrong = [f"{display_name(classes[j])} ({int(row[j]):,})" for j in np.argsort(-row, kind="stable") if j != k and row[j]]
    if wrong:
        named = wrong if len(wrong) <= 3 else [*wrong[:2], f"{len(wrong) - 2} other classes"]
        text += f" {'The one missed was' if total - hits == 1 else 'Those missed were'} predicted as {listed(named)}."
    if not predicted:
        return text + " It was never predicted."
    false = predicted - hits
    precision = "all correct" if not false else f"{false:,} of them wrong" if predicted > 1 else "wrong"
    return f"{text} Predicted for {counted(predicted, 'image')}, {'correct' if predicted == 1 and hits else precision}."
