"""Scores of predictions, also where they are all right or all wrong, and those of earlier versions."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta

from balanced_mixup.errors import UsageError
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.interval import Interval


def made(labels, answers, groups=None, classes=("a", "b", "c")):
    """Return predictions that are sure of the given answers."""
    p = np.eye(len(classes))[answers]
    names = tuple(str(row) for row in range(len(labels)))
    return Predictions(names, np.array(labels), p, classes, groups and np.array(groups), np.full(len(labels), "test"))


def ends(score):
    return score.low, score.high


def has_no_interval(score):
    return math.isnan(score.low) and math.isnan(score.high)


def test_none_of_63_found_is_not_0_to_0():
    found = Scores.of(made([0] * 63 + [1] * 20 + [2], [1] * 63 + [1] * 10 + [2] * 11)).per_class
    assert ends(found["a"].recall) == (0, pytest.approx(beta.ppf(0.975, 0.5, 63.5), rel=0.1))
    assert found["b"].recall.warning is None
    assert found["a"].precision.to_dict() == {"value": None, "low": None, "high": None}
    assert ends(found["c"].recall) == (pytest.approx(beta.ppf(0.025, 1.5, 0.5), abs=0.04), 1)
    assert found["c"].recall.warning == "Only 1 image of 'c': too few to rely on the interval."


def test_all_right():
    scores = Scores.of(made([0, 1, 2] * 10, [0, 1, 2] * 10))
    for name, score in scores.metrics.items():
        assert score.value == pytest.approx(1) == score.high, name
        assert 0.5 < score.low < 0.99, name
    assert all(score.low < score.value for score in scores.per_class["b"].scores().values())


def test_a_constant_answer():
    metrics = Scores.of(made([0] * 10 + [1] * 10 + [2] * 10, [0] * 30), 200).metrics
    assert metrics["balanced_accuracy"].low < 1 / 3 < metrics["balanced_accuracy"].high
    assert metrics["mcc"].value == 0 and metrics["mcc"].low < 0 < metrics["mcc"].high
    assert metrics["accuracy"].low < 1 / 3 < metrics["accuracy"].high


def test_what_is_read_from_probabilities_is_undefined_for_class_answers():
    scores = Scores.of(replace(made([0, 1, 2] * 4, [0, 1, 1] * 4), answers_only=True), 50)
    assert math.isnan(scores.metrics["macro_auc"].value) and math.isnan(scores.per_class["a"].auc.value)
    assert scores.metrics["macro_f1"].low < scores.metrics["macro_f1"].value


def old_format(scores):
    """Return what an earlier version wrote of them: bootstrap intervals, and recall and precision alone of a class."""
    content = scores.to_dict()
    del content["intervals"]
    for row in content["per_class"].values():
        for name in ("specificity", "npv", "f1", "auc", "average_precision"):
            del row[name]
    content["metrics"]["mcc"] |= {"low": 0.5, "high": 0.5}
    return content


def test_intervals_of_an_earlier_version_are_computed_again():
    predictions = made([0, 1, 2] * 10, [0, 1, 1] * 10)
    scores = Scores.of(predictions)
    old = Scores.from_dict(old_format(scores))
    assert old.outdated and old.metrics["mcc"].low == 0.5
    assert old.to_dict()["metrics"]["mcc"]["low"] == 0.5 and Scores.from_dict(old.to_dict()).outdated
    assert old.completed(lambda: predictions).to_dict() == scores.to_dict()

    def lost():
        raise UsageError("There are no predictions.")

    kept = old.completed(lost)
    assert kept.metrics["mcc"].low == 0.5 and "earlier version" in kept.metrics["mcc"].warning
    assert "earlier version" in kept.per_class["a"].recall.warning
    assert scores.completed(lost) is scores


@pytest.mark.parametrize("groups", [None, ["p", "p", "p", "p"]])
def test_one_unit_has_no_interval(groups):
    rows = 1 if groups is None else 4
    scores = Scores.of(made([0] * rows, [0] * rows, groups), 20)
    assert all(map(has_no_interval, scores.metrics.values()))
    assert has_no_interval(scores.per_class["a"].recall)
    assert Scores.from_dict(json.loads(json.dumps(scores.to_dict(), allow_nan=False))).to_dict() == scores.to_dict()


def test_rounding_alone_is_no_width():
    found = Interval(0.7, 0.7, 0.7 + 1e-15).unless_constant()
    assert (found.value, np.isnan([found.low, found.high]).all()) == (0.7, True)
    wide = Interval(0.7, 0.6, 0.8)
    assert wide.unless_constant() is wide
