"""Scores as sentences that somebody understands who does not know the scores' names."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MOST = 12  # classes that get a sentence of their own


def percent(value: float) -> str:
    """Return a share in per cent, "54 %"; with a decimal where it would look like none or all."""
    shown = 100 * value
    return f"{shown:.1f} %" if 0 < shown < 1 or 99 < shown < 100 else f"{shown:.0f} %"


def spoken(name: str) -> str:
    """Return the name of a class as it can stand in a sentence: a number is "class 4"."""
    return f"class {name}" if name.replace(".", "").isdigit() else name


def with_interval(score: Mapping[str, float | None]) -> str:
    """Return "54 % (95 % interval 42 % to 66 %)"; without an interval the share alone, without a share "undefined"."""
    value, low, high = score["value"], score["low"], score["high"]
    if value is None:
        return "undefined"
    interval = "" if low is None or high is None else f" (95 % interval {percent(low)} to {percent(high)})"
    return percent(value) + interval


def interval(score: Mapping[str, float | None]) -> str:
    """Return "0.043 [0.030, 0.058]", a dash for what is undefined."""
    value, low, high = score["value"], score["low"], score["high"]
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}" + ("" if low is None or high is None or math.isnan(low) else f" [{low:.3f}, {high:.3f}]")


def rare_classes(counts: npt.NDArray[np.int64]) -> list[int]:
    """Return the classes that have fewer training images than an even share, the rarest first."""
    order = np.argsort(counts, kind="stable")
    return [int(k) for k in order if counts[k] * len(counts) < counts.sum()]


def found_and_missed(
    k: int, classes: Sequence[str], table: npt.NDArray[np.int64], trained: int, recall: Mapping[str, float | None]
) -> str:
    """Say how many images of class `k` were found, what the others were taken for, and how often its name was a false alarm.

    Args:
        k: The class.
        classes: K names.
        table: (K, K), label by answer.
        trained: Its training images.
        recall: Its recall with the interval.
    """
    name, row, called = spoken(classes[k]), table[k], int(table[:, k].sum())
    total, hits = int(row.sum()), int(row[k])
    head = f"{name} ({trained:,} {'image' if trained == 1 else 'images'} to learn from): "
    if not total:
        return head + "no image to score, so nothing can be said about it."
    text = head + f"{hits:,} of {total:,} found, {with_interval(recall)}."
    wrong = [f"{spoken(classes[j])} ({int(row[j]):,})" for j in np.argsort(-row, kind="stable") if j != k and row[j]]
    if wrong:
        named = wrong if len(wrong) <= 3 else [*wrong[:2], f"{len(wrong) - 2} other classes"]
        text += f" Missed ones were taken for {' and '.join(filter(None, [', '.join(named[:-1]), named[-1]]))}."
    if called:
        text += f" Of {called:,} that were called so, {called - hits:,} were something else."
    else:
        text += " No image was called so."
    return text


def summary(
    classes: Sequence[str], table: npt.NDArray[np.int64], trained: npt.NDArray[np.int64], scores: Mapping[str, Any]
) -> list[str]:
    """Return a sentence for each rare class, the rarest first, of `MOST` at most; then one for the others together.

    Args:
        classes: K names.
        table: (K, K), label by answer.
        trained: (K,), training images.
        scores: See `Predictions.scores`.
    """
    rare = rare_classes(trained) or list(range(len(classes)))
    sentences = [
        found_and_missed(k, classes, table, int(trained[k]), scores["per_class"][classes[k]]["recall"]) for k in rare[:MOST]
    ]
    others = [k for k in range(len(classes)) if k not in rare[:MOST]]
    if others:
        total, hits = int(table[others].sum()), int(sum(table[k, k] for k in others))
        names = ", ".join(spoken(classes[k]) for k in others) if len(others) <= 5 else f"The other {len(others)} classes"
        sentences.append(f"{names}{' together' if len(others) > 1 else ''}: {hits:,} of {total:,} found.")
    return sentences
