"""The public functions, as a notebook calls them: frames as data, short descriptions, figures."""

import inspect
import re
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import balanced_mixup as bm
from balanced_mixup import DataError, UsageError, figures
from balanced_mixup.progress import is_watched

FUNCTIONS = ("train", "check", "predict", "evaluate", "compare", "benchmark", "table", "report", "explain", "add_predictions")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_at_the_root_and_explain_themselves(name):
    function = getattr(bm, name)
    assert callable(function) and name in dir(bm)
    assert inspect.signature(function).parameters
    home = bm._CALLABLE.get(name)
    documented = function if home is None else getattr(sys.modules[f"balanced_mixup.{home}"], name)
    assert "Raises:" in documented.__doc__ and f"{name}(" in documented.__doc__


def test_packages_stay_packages(tiny_run, tmp_path):
    import balanced_mixup.report.figures  # puts the package where the function was

    assert callable(bm.report) and bm.report.figures is balanced_mixup.report.figures
    assert bm.report(tiny_run, tmp_path / "page.md") == tmp_path / "page.md"
    with pytest.raises(UsageError, match=r"neither a run|to be the folder of a run"):
        bm.report(tmp_path)
    with pytest.raises(UsageError, match="Expected `out`, the folder of the benchmark"):
        bm.benchmark({"data": {}})


class TestFrames:
    @pytest.fixture(scope="class")
    @classmethod
    def frame(cls, blobs):
        return pd.read_csv(blobs / "labels.csv")

    def test_are_checked_and_trained_on(self, frame, blobs, tiny, tiny_run, tmp_path, monkeypatch):
        monkeypatch.chdir(blobs)
        inspection = bm.check(data=frame, group_column="patient")
        assert not inspection.fatal and len(inspection.manifest) == 90
        start = "Inspection(90 images: red 60, green 20, blue 10\n  0 problems, 0 warnings)"
        assert repr(inspection).startswith(start)
        settings = {**tiny, "data": frame, "epochs": 1}
        experiment = bm.train(settings, out=tmp_path / "run")
        run = bm.Run.open(tmp_path / "run")
        # The same data as in a table: the same fingerprint, and a recipe that names a file that is there.
        assert run.environment["data_fingerprint"] == bm.Run.open(tiny_run).environment["data_fingerprint"]
        assert run.recipe.data == str(tmp_path / "run" / "data.csv")
        assert repr(experiment).startswith(f"Experiment({str(tmp_path / 'run')!r}, balanced-mixup)\n  ")
        again = bm.train(settings, out=tmp_path / "run", resume=True)
        assert again.scores == experiment.scores
        with pytest.raises(UsageError, match=r"The data have changed since .* data frame is not that in data\.csv"):
            bm.train({**settings, "data": frame.iloc[1:]}, out=tmp_path / "run", resume=True)
        with pytest.raises(UsageError, match="Expected `out` to be a new or empty folder"):
            bm.train(settings, out=tmp_path / "run")

    def test_bad_ones_are_refused_like_tables_and_leave_nothing_in_the_way(self, tiny, tmp_path):
        bad = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["x", None]})
        with pytest.raises(DataError, match=r"data\.csv line 3: expected a class, got ''"):
            bm.train({**tiny, "data": bad, "group_column": None}, out=tmp_path / "run")
        with pytest.raises(DataError, match=r"data\.csv has no column 'dx'; its columns are 'image', 'label'"):
            bm.train({**tiny, "data": bad, "label_column": "dx", "group_column": None}, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_are_evaluated(self, frame, blobs, tiny_run, tmp_path):
        result = bm.evaluate(tiny_run, data=frame.iloc[::9], images=blobs, split="all", allow_seen=True, out=tmp_path / "out")
        assert result.scores.n == 10
        assert bm.Evaluation.open(tmp_path / "out").result.settings["data"] == str(tmp_path / "out" / "data.csv")
        assert bm.report(tmp_path / "out").is_file()


class TestShort:
    def test_descriptions(self, tiny_run):
        run = bm.Run.open(tiny_run)
        result = bm.evaluate(tiny_run)
        for thing in (run, run.scores["test"], run.predictions, result, bm.compare(tiny_run, tiny_run)):
            assert len(repr(thing)) < 700
        assert repr(run.scores["test"]).startswith(f"Scores({result.scores.n} images, 3 classes: ")
        assert result._repr_html_().startswith("<table>")

    def test_of_many_classes(self):
        rng = np.random.default_rng(0)
        names = tuple(f"class {k}" for k in range(50))
        labels = rng.integers(0, 50, 200)
        p = rng.dirichlet(np.ones(50), 200).astype(np.float32)
        found = bm.runs.predictions.Predictions(tuple(map(str, range(200))), labels, p, names, None, np.full(200, "test"))
        assert len(repr(bm.runs.scores.Scores.of(found, replicates=2))) < 300


class TestFigures:
    @pytest.mark.parametrize("name", figures.__all__)
    def test_of_a_run(self, tiny_run, name):
        assert isinstance(getattr(bm.figures, name)(tiny_run), Figure)
        assert getattr(bm.figures, name).__doc__

    def test_of_an_open_run_and_of_what_is_missing(self, tiny_run, tmp_path):
        assert isinstance(figures.confusion_matrix(bm.Run.open(tiny_run)), Figure)
        with pytest.raises(UsageError, match=r"has no recipe.yaml"):
            figures.confusion_matrix(tmp_path)

    def test_of_another_program(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        labels = pd.DataFrame({"image": ["a", "b", "c", "d"] * 5, "label": ["x", "y"] * 10})
        labels["image"] += [str(row) for row in range(20)]
        bm.evaluate(predictions=labels.assign(prediction="x"), data=labels, out="answers")
        assert isinstance(figures.confusion_matrix("answers"), Figure)
        for draw in (figures.roc_curves, figures.reliability_diagram, figures.training_curves):
            with pytest.raises(UsageError, match=r"classes without probabilities|lacks its calibration|Expected a run"):
                draw("answers")


@pytest.mark.parametrize(
    ("shell", "widgets", "shown"),
    [("ZMQInteractiveShell", True, True), ("ZMQInteractiveShell", False, False), ("TerminalInteractiveShell", True, False)],
)
def test_bars_are_shown_in_notebooks_that_have_widgets(monkeypatch, shell, widgets, shown):
    python = types.ModuleType("IPython")
    python.get_ipython = lambda: type(shell, (), {})()
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setattr("balanced_mixup.progress.find_spec", lambda name: object() if widgets else None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert is_watched() == shown


def test_the_walk_through_runs(blobs, tmp_path, monkeypatch):
    """docs/python.md as a reader runs it, with a smaller and shorter training."""
    page = (Path(__file__).parents[1] / "docs/python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    quick = 'size=32, epochs=1, backbone="test_efficientnet", weights="none", accelerator="cpu"'
    assert code.count("size=96, epochs=6") == 1
    monkeypatch.chdir(tmp_path)
    shutil.copytree(blobs, "photos")
    shutil.copy(blobs / "labels.csv", "labels.csv")
    names = {}
    exec(code.replace("size=96, epochs=6", quick), names)
    assert len(names["new"]) == 2 and (tmp_path / "predictions.xlsx").is_file()
    assert names["result"].scores.n == 2
    written = {path.name for path in tmp_path.iterdir()}
    assert {"confusion.png", "explained", "theirs", "answers", "runs"} <= written
    for name in FUNCTIONS:  # the table of functions is the truth
        assert f"`{name}`" in page


def test_a_benchmark_is_planned_from_a_mapping(tiny, blobs, tmp_path):
    settings = {name: value for name, value in tiny.items() if name not in ("data", "group_column", "accelerator")}
    backbone = settings.pop("backbone")
    plan = {"data": {"blobs": str(blobs / "labels.csv")}, "methods": ["instance", "class"], "folds": 2, "settings": settings}
    outcome = bm.benchmark({**plan, "backbones": backbone}, tmp_path / "plan", dry_run=True, accelerator="cpu")
    assert repr(outcome) == "BenchmarkOutcome(0 of 4 runs finished, 0 failed)"
    assert not (tmp_path / "plan").exists()
