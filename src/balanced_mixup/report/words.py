"""Scores as sentences that somebody understands who does not know the scores' names."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.statistics.bootstrap import Interval

MOST = 12  # classes that get a sentence of their own


def percent(value: float) -> str:
    """Return a share in per cent, "54 %"; with a decimal where it would look like none or all."""
    shown = 100 * value
    return f"{shown:.1f} %" if 0 < shown < 1 or 99 < shown < 100 else f"{shown:.0f} %"


def spoken(name: str) -> str:
    """Return the name of a class as it can stand in a sentence: a number is "class 4"."""
    return f"class {name}" if name.replace(".", "").isdigit() else name


def with_interval(score: Interval) -> str:
    """Return "54 % (95 % interval 42 % to 66 %)"; without an interval the share alone, without a share "undefined"."""
    if math.isnan(score.value):
        return "undefined"
    if not score.low < score.high:
        return percent(score.value)
    return f"{percent(score.value)} (95 % interval {percent(score.low)} to {percent(score.high)})"


def interval(score: Interval) -> str:
    """Return "0.043 [0.030, 0.058]", a dash for what is undefined."""
    if math.isnan(score.value):
        return "–"
    return f"{score.value:.3f}" + (f" [{score.low:.3f}, {score.high:.3f}]" if score.low < score.high else "")


def counted(number: int, noun: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def found_and_missed(
    k: int, classes: Sequence[str], table: npt.NDArray[np.int64], trained: int | None, recall: Interval
) -> str:
    """Say how many images of class `k` were found, what the others were taken for, and how often its name was a false alarm.

    Args:
        k: The class.
        classes: K names.
        table: (K, K), label by answer.
        trained: Its training images; None where that is not known.
        recall: Its recall with the interval.
    """
    row, called = table[k], int(table[:, k].sum())
    total, hits = int(row.sum()), int(row[k])
    head = spoken(classes[k]) + ("" if trained is None else f" ({counted(trained, 'image')} to learn from)") + ": "
    if not total:
        return head + "no image to score, so nothing can be said about it."
    text = head + f"{hits:,} of {total:,} found, {with_interval(recall)}."
    wrong = [f"{spoken(classes[j])} ({int(row[j]):,})" for j in np.argsort(-row, kind="stable") if j != k and row[j]]
    if wrong:
        named = wrong if len(wrong) <= 3 else [*wrong[:2], f"{len(wrong) - 2} other classes"]
        text += f" {'The missed one was' if total - hits == 1 else 'Missed ones were'} taken for {listed(named)}."
    if not called:
        return text + " No image was called so."
    false = called - hits
    wrongly = "none was" if not false else "1 was" if false == 1 else f"{false:,} were"
    return f"{text} Of {counted(called, 'image')} called so, {wrongly} something else."
