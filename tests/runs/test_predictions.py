"""Scores of predictions as JSON: intervals where the bootstrap has none."""

import json

import numpy as np
import pytest

from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.predictions import Predictions, without_point_interval
from balanced_mixup.statistics.bootstrap import Interval, bootstrap
from balanced_mixup.statistics.paired_tests import wilson

NOTHING = (None, None)


def made(labels, answers, groups=None, classes=("a", "b", "c")):
    """Return predictions that are sure of the given answers."""
    p = np.eye(len(classes))[answers]
    names = tuple(str(row) for row in range(len(labels)))
    return Predictions(names, np.array(labels), p, classes, groups and np.array(groups), np.full(len(labels), "test"))


def ends(score):
    return score["low"], score["high"]


def test_none_of_63_found_is_not_0_to_0():
    found = made([0] * 63 + [1] * 20 + [2], [1] * 63 + [1] * 10 + [2] * 11).scores(200)["per_class"]
    assert found["a"]["recall"] == {"value": 0, "low": 0, "high": pytest.approx(0.0575, abs=1e-4)}  # 1.96^2 / (63 + 1.96^2)
    assert found["a"]["precision"] == {"value": None, "low": None, "high": None}
    assert ends(found["c"]["recall"]) == (pytest.approx(0.2065, abs=1e-4), 1)  # one of one: 1 / (1 + 1.96^2)


def test_where_draws_differ_it_is_the_bootstrap():
    predictions = made([0, 0, 0, 1, 1, 2] * 5, [0, 1, 2, 1, 0, 2] * 4 + [2] * 6)
    reference = bootstrap(predictions.labels, predictions.probabilities, replicates=200)
    scores = predictions.scores(200)
    for name in METRICS:
        assert ends(scores["metrics"][name]) == (reference[name].low, reference[name].high)
    assert ends(scores["per_class"]["a"]["recall"]) == (reference["recall_0"].low, reference["recall_0"].high)


def test_all_right():
    metrics = made([0, 1, 2] * 10, [0, 1, 2] * 10).scores(200)["metrics"]
    assert all(score["value"] == pytest.approx(1) for score in metrics.values())
    assert ends(metrics["accuracy"]) == pytest.approx(tuple(map(float, wilson(1, 30))))
    assert {ends(score) for name, score in metrics.items() if name != "accuracy"} == {NOTHING}


def test_a_constant_answer():
    metrics = made([0] * 10 + [1] * 10 + [2] * 10, [0] * 30).scores(200)["metrics"]
    assert metrics["balanced_accuracy"] == {"value": pytest.approx(1 / 3), "low": None, "high": None}
    assert metrics["mcc"] == {"value": 0, "low": None, "high": None}
    assert metrics["accuracy"]["low"] < 1 / 3 < metrics["accuracy"]["high"]


def test_groups_are_the_trials():
    # Class a: four images of two patients. The answer b: two wrong ones of two patients, and four right ones of three.
    labels, answers = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    groups = ["p", "p", "p", "q", "r", "r", "s", "t", "u", "u"]
    scores = made(labels, answers, groups).scores(200)
    for name, trials in (("a", 2), ("b", 3), ("c", 1)):
        for share in ("recall", "precision"):
            assert ends(scores["per_class"][name][share]) == pytest.approx(tuple(map(float, wilson(1, trials)))), (name, share)
    assert ends(scores["metrics"]["accuracy"]) == pytest.approx(tuple(map(float, wilson(1, 6))))
    missed = made([0, 0, 0, 2, 2, 2], [1, 1, 1, 1, 2, 2], ["p", "p", "q", "q", "v", "w"]).scores(200)["per_class"]
    assert ends(missed["a"]["recall"]) == pytest.approx(tuple(map(float, wilson(0, 2))))
    assert ends(missed["b"]["precision"]) == pytest.approx(tuple(map(float, wilson(0, 2))))


def test_half_of_the_images_of_one_group():
    found = made([0, 0, 1, 1], [0, 1, 1, 1], ["p", "p", "q", "r"]).scores(200)["per_class"]["a"]["recall"]
    assert found == {"value": 0.5, "low": None, "high": None}


@pytest.mark.parametrize("groups", [None, ["p", "p", "p", "p"]])
def test_one_unit_has_no_interval(groups):
    rows = 1 if groups is None else 4
    scores = made([0] * rows, [0] * rows, groups).scores(20)
    assert {ends(score) for score in scores["metrics"].values()} == {NOTHING}
    assert ends(scores["per_class"]["a"]["recall"]) == NOTHING
    json.dumps(scores, allow_nan=False)


def test_rounding_alone_is_no_width():
    found = without_point_interval(Interval(0.7, 0.7, 0.7 + 1e-15))
    assert (found.value, np.isnan([found.low, found.high]).all()) == (0.7, True)
    wide = Interval(0.7, 0.6, 0.8)
    assert without_point_interval(wide, 5) is wide
