"""Scores of predictions: intervals where the bootstrap has none."""

import json
import math
from dataclasses import astuple

import numpy as np
import pytest

from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.bootstrap import Interval, bootstrap
from balanced_mixup.statistics.paired_tests import wilson


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
    found = Scores.of(made([0] * 63 + [1] * 20 + [2], [1] * 63 + [1] * 10 + [2] * 11), 200).per_class
    assert astuple(found["a"].recall) == (0, 0, pytest.approx(0.0575, abs=1e-4))  # 1.96^2 / (63 + 1.96^2)
    assert found["a"].precision.to_dict() == {"value": None, "low": None, "high": None}
    assert ends(found["c"].recall) == (pytest.approx(0.2065, abs=1e-4), 1)  # one of one: 1 / (1 + 1.96^2)


def test_where_draws_differ_it_is_the_bootstrap():
    predictions = made([0, 0, 0, 1, 1, 2] * 5, [0, 1, 2, 1, 0, 2] * 4 + [2] * 6)
    reference = bootstrap(predictions.labels, predictions.probabilities, replicates=200)
    scores = Scores.of(predictions, 200)
    for name in METRICS:
        assert ends(scores.metrics[name]) == (reference[name].low, reference[name].high)
    assert ends(scores.per_class["a"].recall) == (reference["recall_0"].low, reference["recall_0"].high)


def test_all_right():
    metrics = Scores.of(made([0, 1, 2] * 10, [0, 1, 2] * 10), 200).metrics
    assert all(score.value == pytest.approx(1) for score in metrics.values())
    assert ends(metrics["accuracy"]) == pytest.approx(tuple(map(float, wilson(1, 30))))
    assert all(has_no_interval(score) for name, score in metrics.items() if name != "accuracy")


def test_a_constant_answer():
    metrics = Scores.of(made([0] * 10 + [1] * 10 + [2] * 10, [0] * 30), 200).metrics
    assert metrics["balanced_accuracy"].value == pytest.approx(1 / 3) and has_no_interval(metrics["balanced_accuracy"])
    assert metrics["mcc"].value == 0 and has_no_interval(metrics["mcc"])
    assert metrics["accuracy"].low < 1 / 3 < metrics["accuracy"].high


def test_groups_are_the_trials():
    # Class a: four images of two patients. The answer b: two wrong ones of two patients, and four right ones of three.
    labels, answers = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    groups = ["p", "p", "p", "q", "r", "r", "s", "t", "u", "u"]
    scores = Scores.of(made(labels, answers, groups), 200)
    for name, trials in (("a", 2), ("b", 3), ("c", 1)):
        for share in ("recall", "precision"):
            assert ends(getattr(scores.per_class[name], share)) == pytest.approx(tuple(map(float, wilson(1, trials)))), (
                name,
                share,
            )
    assert ends(scores.metrics["accuracy"]) == pytest.approx(tuple(map(float, wilson(1, 6))))
    missed = Scores.of(made([0, 0, 0, 2, 2, 2], [1, 1, 1, 1, 2, 2], ["p", "p", "q", "q", "v", "w"]), 200).per_class
    assert ends(missed["a"].recall) == pytest.approx(tuple(map(float, wilson(0, 2))))
    assert ends(missed["b"].precision) == pytest.approx(tuple(map(float, wilson(0, 2))))


def test_half_of_the_images_of_one_group():
    found = Scores.of(made([0, 0, 1, 1], [0, 1, 1, 1], ["p", "p", "q", "r"]), 200).per_class["a"].recall
    assert found.value == 0.5 and has_no_interval(found)


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
    assert wide.unless_constant(5) is wide
