"""Metrics of other distributions: found by their entry points, scored, stored and shown as the built-in ones."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from balanced_mixup import plugins
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS, Metric, accuracy, applicable, confusion, mcc
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.interval import Interval


def trace(table):
    """Number of hits."""
    return np.trace(table, axis1=-2, axis2=-1)


hits = Metric("hits", "hits", confusion, trace, "number of hits")


@pytest.fixture
def registry(monkeypatch):
    """A registry beside entry points of this module."""
    entries = [EntryPoint("hits", f"{__name__}:hits", "balanced_mixup.metrics")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries if group == "balanced_mixup.metrics" else [])
    registry = plugins.Registry("metrics", Metric, lambda metric: metric.name)
    registry.add(accuracy)
    return registry


def test_entry_points_are_loaded_on_first_use(registry):
    assert list(registry) == ["accuracy", "hits"]
    assert registry["hits"] is hits and len(registry) == 2


def test_a_name_that_is_taken_cannot_be_added(registry):
    with pytest.raises(UsageError, match="Expected metrics with unique names, but 'accuracy' is taken"):
        registry.add(Metric("accuracy", "another", confusion, trace, "number of hits"))


@pytest.mark.parametrize("name", ["recall_1", "precision_0", "a b"])
def test_a_metric_has_a_name_that_no_score_of_a_class_has(name):
    with pytest.raises(UsageError, match=f"`name` to be an identifier that is not the score of a class, but got '{name}'"):
        Metric(name, "r", confusion, trace, "number of hits")


def test_an_added_metric_is_scored_and_completed_as_if_it_had_been_there(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    groups = np.array([f"p{row // 2}" for row in range(50)])
    p = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    predictions = Predictions(tuple(map(str, range(50))), labels, p, ("a", "b", "c"), groups, np.full(50, "test"))
    older = Scores.of(predictions)
    monkeypatch.setitem(METRICS._objects, "hits", hits)
    now = Scores.of(predictions)
    assert older.completed(lambda: predictions).to_dict() == now.to_dict()
    assert older.values(lambda: predictions) == {name: score.value for name, score in now.metrics.items()}
    assert now.metrics["hits"].value == (p.argmax(1) == labels).sum()
    assert list(older.metrics) == [name for name in now.metrics if name != "hits"]

    def gone():
        raise UsageError("no predictions")

    assert older.completed(gone) is older
    assert np.isnan(older.values(gone)["hits"])


def test_a_metric_that_is_not_known_any_more_is_not_shown():
    assert applicable({"mcc": 1, "gone": 2, "kendall_tau": 3}, ordinal=False) == {"mcc": 1}


def test_every_metric_says_what_it_measures():
    assert all(metric.summary and "\n" not in metric.summary for metric in METRICS.values())
    assert [name for name, metric in METRICS.items() if metric.ordinal] == ["quadratic_kappa", "kendall_tau"]
    assert Interval(mcc(np.array([0, 1]), np.eye(2))).to_dict() == {"value": 1.0, "low": None, "high": None}


def test_metrics_do_not_wait_for_torch():
    code = "import sys, balanced_mixup.metrics as m; m.METRICS['mcc'].summary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_example_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs/runs.md").read_text(encoding="utf-8")
    names = {}
    exec(text.split("```python\n")[-1].split("```")[0], names)
    y = np.array([0, 0, 1, 1, 1])
    p = np.eye(2)[[0, 1, 1, 1, 0]]
    assert names["g_mean"](y, p) == pytest.approx(np.sqrt(1 / 2 * 2 / 3))
