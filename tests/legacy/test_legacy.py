"""Folders of the version before issue 11 stay usable: evaluate, report, table, resume, benchmark continued.

Their recipes name data in a folder that is gone, as for somebody who moved everything: `--resume` and `evaluate` are told where
the data are. Only the report, which reads images where the recipe says they are, has the path rewritten in its copy.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from balanced_mixup import Evaluation, Run, evaluate, train
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.benchmark.engine import run_benchmark
from balanced_mixup.benchmark.plan import load_plan
from balanced_mixup.benchmark.results import read_results
from balanced_mixup.benchmark.tables import make_tables
from balanced_mixup.calibration.priors import with_temperature
from balanced_mixup.metrics import METRICS, Metric, confusion
from balanced_mixup.training.recipe import load_yaml

HERE = Path(__file__).parent
MADE_IN = "/tmp/old"


@pytest.fixture
def legacy(tmp_path):
    ignored = shutil.ignore_patterns("*.py", "*.sh", "__pycache__")
    return shutil.copytree(HERE, tmp_path / "legacy", ignore=ignored)


@pytest.fixture
def hit_rate(monkeypatch):
    """A metric that did not exist when the folders were made."""
    metric = Metric("hit_rate", "hit rate", confusion, lambda table: METRICS["accuracy"].formula(table))
    monkeypatch.setitem(METRICS._objects, metric.name, metric)
    return metric


def state(folder):
    """Return the files of a folder with their times and contents."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def stored(run, split):
    return json.loads((run / "metrics.json").read_text())[split]


def values(scores):
    """Return what an earlier version wrote of scores but for their intervals, which are computed anew."""

    def rounded(score):
        return None if score["value"] is None else round(score["value"], 9)

    return {
        **{name: scores[name] for name in ("n", "groups")},
        "metrics": {name: rounded(score) for name, score in scores["metrics"].items()},
        "per_class": {
            name: (row["support"], rounded(row["recall"]), rounded(row["precision"]))
            for name, row in scores["per_class"].items()
        },
    }


@pytest.mark.parametrize("name", ["finished", "ordinal"])
def test_a_finished_run_is_read_evaluated_and_not_changed(legacy, name):
    folder = legacy / name
    before = state(folder)
    run = Run.open(folder)
    assert run.finished and run.ordinal == (name == "ordinal")
    for split, scores in run.scores.items():
        assert values(scores.to_dict()) == values(stored(folder, split))
        assert not scores.outdated and scores.metrics["mcc"].low < scores.metrics["mcc"].value <= scores.metrics["mcc"].high
    assert len(run.history) == run.recipe.epochs
    assert len(run.predictions) == sum(scores.n for scores in run.scores.values())
    assert len(run.images) > len(run.predictions)
    assert run.counts("train").sum() + len(run.predictions) == len(run.images)
    assert run.cost.seconds > 0 and run.environment["versions"]["balanced-mixup"] == "0.1.0"
    written = json.loads(run.folder.calibration.read_text())
    correction, validation = run.calibration, run.predictions.in_split("val")
    assert json.loads(correction.model_dump_json(exclude_unset=True)) == {**written, "format": 2}
    assert written["format"] == 1 and 0 < correction.temperature < 1
    tempered = with_temperature(validation.probabilities, written["temperature"])
    assert correction.apply(validation.probabilities) == pytest.approx(tempered, abs=1e-6)
    assert f"there are {written['images']} validation images, fewer than 50" == correction.doubt(validation)
    assert evaluate(folder).scores.to_dict() == run.scores["test"].to_dict()
    train(out=folder, resume=True)  # finished: nothing is trained
    after = state(folder)
    assert {path for path in after if after[path] != before.get(path)} == {Path("train.log")}


def test_a_finished_run_predicts_and_scores_other_data_as_before(legacy):
    folder = legacy / "finished"
    old = Evaluation.open(folder / "evaluations/labels-all")
    assert old.run.path == folder
    assert (old.result.prior.name, old.result.split, set(old.result.thresholds)) == ("uniform", "all", {"blue"})
    content = json.loads((old.path / "metrics.json").read_text())
    again = old.result.to_dict()
    # The note is worded anew when it is read.
    assert again["thresholds"]["blue"].pop("note") and content["thresholds"]["blue"].pop("note")
    # What the version of that time did not compute is said to be unknown.
    assert again["thresholds"]["blue"].pop("low") is None and "low" not in content["thresholds"]["blue"]
    assert values(again) == values(content)
    for name in ("images", "temperature"):
        assert again["calibration"][name] == content["calibration"][name]
    assert again["calibration"]["before"]["ece"]["value"] == content["calibration"]["before"]["ece"]["value"]
    computed = ("calibration", "intervals", "metrics", "per_class", "predictive_values", "subgroups")
    assert {key: part for key, part in again.items() if key not in computed} == {
        key: part for key, part in content.items() if key in again and key not in computed
    }
    data = str(legacy / "data/clinic/labels.csv")
    result = evaluate(folder, data=data, label_map={"rot": "red"}, prior="uniform")
    for name, score in result.scores.metrics.items():
        assert score.value == pytest.approx(content["metrics"][name]["value"], abs=1e-6), name
    assert old.scored.probabilities == pytest.approx(Evaluation.open(result.folder).scored.probabilities, abs=1e-4)


@pytest.mark.parametrize("name", ["finished", "ordinal", "interrupted", "finished/evaluations/labels-all"])
def test_reports(legacy, name):
    pytest.importorskip("matplotlib")
    from balanced_mixup.report.document import Note
    from balanced_mixup.report.run_report import evaluation_report, run_report

    for path in legacy.rglob("*"):
        if path.suffix in (".yaml", ".json"):
            path.write_text(path.read_text().replace(MADE_IN, str(legacy)))
    report = (evaluation_report if "evaluations" in name else run_report)(legacy / name)
    notes = [block.text for section in report.sections for block in section.blocks if isinstance(block, Note)]
    missing = [note for note in notes if "missing" in note or "cannot" in note]
    if name == "interrupted":
        assert any("metrics.json" in note for note in missing)
    else:
        assert not missing


def test_an_interrupted_run_goes_on(legacy):
    """It ends as a training that was never disturbed; to the bit where the machine repeats the bits of its first epochs."""
    folder, data = legacy / "interrupted", str(legacy / "data/photos/labels.csv")
    earlier = pd.read_csv(folder / "history.csv")
    assert not Run.open(folder).finished and len(earlier) == 2
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed = train(data=data, out=folder, resume=True).run
        fresh = train(load_yaml(HERE / "interrupted/recipe.yaml"), data=data, out=legacy / "fresh").run
    finally:
        torch.set_num_threads(threads)
    assert resumed.finished and not list(folder.glob("checkpoint*"))
    names = list(earlier)
    pd.testing.assert_frame_equal(resumed.history[names][:2], earlier)
    if fresh.history[names][:2].equals(earlier):
        assert resumed.folder.weights.read_bytes() == fresh.folder.weights.read_bytes()
        pd.testing.assert_frame_equal(resumed.history, fresh.history)
    else:
        pd.testing.assert_frame_equal(resumed.history, fresh.history, rtol=0.05, atol=0.2)


def test_a_benchmark_is_tabled_and_continued(legacy):
    folder = legacy / "benchmark"
    before = read_results(folder)
    assert (before.finished, before.planned) == (3, 6)
    text = make_tables(before, (), "md")
    assert "### Scores on photos\n" in text and "### Scores on photos -> clinic\n" in text
    assert "3 of 6 runs are finished" in text
    trained = {run: state(run) for run in (folder / "runs").iterdir() if (run / "metrics.json").is_file()}
    outcome = run_benchmark(load_plan(legacy / "plan.yaml"), folder, {"accelerator": "cpu"}, jobs=2)
    assert (outcome.finished, outcome.planned, list(outcome.failed)) == (6, 6, [])
    for run, files in trained.items():
        after = state(run)
        # The clinic's data are at another place: they are scored again, with the weights that are there.
        assert {path for path in files if files[path] != after[path]} <= {Path("train.log")}, run.name
    assert sum(path.is_dir() for path in (folder / "runs").iterdir()) == 6
    after = read_results(folder)
    assert len(after.scores) == 24 and after.scores["prior"].isna().sum() == 12  # corrected rows, from predictions alone
    # A method's label names its settings, and this one has another name today.
    before.scores["method"] = before.scores["method"].str.replace("focal_gamma", "gamma")
    key = ["data", "method", "fold"]
    kept = after.scores.set_index(key).loc[before.scores.set_index(key).index, list(METRICS)]
    assert kept.to_numpy() == pytest.approx(before.scores[list(METRICS)].to_numpy(), abs=1e-6, nan_ok=True)


def test_a_metric_that_came_later_is_computed(legacy, hit_rate):
    for name in ("finished", "ordinal"):
        scores = Run.open(legacy / name).scores["test"].metrics
        assert list(scores) == list(METRICS)
        assert (scores["hit_rate"].value, scores["mcc"].value) == (
            scores["accuracy"].value,
            stored(legacy / name, "test")["metrics"]["mcc"]["value"],
        )
        assert evaluate(legacy / name).scores.metrics["hit_rate"].value == scores["hit_rate"].value
    evaluation = Evaluation.open(legacy / "finished/evaluations/labels-all")
    assert evaluation.scores.metrics["hit_rate"].value == evaluation.scores.metrics["accuracy"].value
    results = read_results(legacy / "benchmark")
    assert results.scores["hit_rate"].tolist() == pytest.approx(results.scores["accuracy"].tolist())
    assert "hit rate" in make_tables(results, ("hit_rate",), "md")


def test_a_metric_that_came_later_is_in_the_report(legacy, hit_rate):
    pytest.importorskip("matplotlib")
    from balanced_mixup.report.document import Table
    from balanced_mixup.report.run_report import run_report

    tables = [block for section in run_report(legacy / "finished").sections for block in section.blocks]
    rows = [row[0] for table in tables if isinstance(table, Table) for row in table.rows]
    assert "hit rate" in rows


def test_without_predictions_a_later_metric_is_undefined_and_nothing_is_damaged(legacy, hit_rate):
    for path in legacy.rglob("predictions.parquet"):
        path.unlink()
    assert "hit_rate" not in Run.open(legacy / "finished").scores["test"].metrics
    scores = read_results(legacy / "benchmark").scores
    assert all(map(math.isnan, scores["hit_rate"])) and not scores["accuracy"].isna().any()


def test_near_copies_are_left_where_an_earlier_version_put_them(legacy, tmp_path):
    assert not Run.open(legacy / "finished").recipe.near_copies
    assert not BenchmarkFolder(legacy / "benchmark").finds_near_copies
    assert BenchmarkFolder(tmp_path).finds_near_copies
